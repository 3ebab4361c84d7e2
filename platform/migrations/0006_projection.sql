-- The builds of a view: one is live, one may be in the making beside it, those that were live are
-- kept for a while. The rows of a build that is not live lie in a schema of its own, build_<number>.
CREATE TABLE millrace.projection (
    build        integer PRIMARY KEY,
    state        text NOT NULL CHECK (state IN ('live', 'building', 'retired', 'dropped')),
    -- Fingerprint of the code that folds into it; other code must not.
    fold         text NOT NULL,
    operation    uuid,
    -- Where the topics ended when it was begun: a list of topic, partition and offset.
    target       jsonb NOT NULL DEFAULT '[]',
    folded       bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL DEFAULT transaction_timestamp(),
    caught_up_at timestamptz,
    swapped_at   timestamptz,
    -- The last key of which was said anew what it amounts to; null when nothing is to be said.
    told         text
);
CREATE UNIQUE INDEX projection_live ON millrace.projection (state) WHERE state = 'live';
CREATE UNIQUE INDEX projection_building ON millrace.projection (state) WHERE state = 'building';

-- Keys that a build in the making cannot fold: nothing of them is folded behind that record.
CREATE TABLE millrace.projection_broken (
    build       integer NOT NULL REFERENCES millrace.projection,
    key         text NOT NULL,
    event_id    uuid NOT NULL,
    topic       text NOT NULL,
    "partition" integer NOT NULL,
    "offset"    bigint NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (build, key)
);
