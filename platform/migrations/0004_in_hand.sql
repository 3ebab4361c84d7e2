-- Records that were begun with and not finished: a process that dies of one record dies of it again
-- and again, and only what it wrote down before can tell.
CREATE TABLE millrace.in_hand (
    topic       text NOT NULL,
    "partition" integer NOT NULL,
    "offset"    bigint NOT NULL,
    -- A partition began with it, so often.
    begun       integer NOT NULL DEFAULT 0,
    -- It was handled by itself, so often.
    alone       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, "partition", "offset")
);
