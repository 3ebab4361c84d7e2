-- The platform's own tables, in a schema beside the service's tables and in the same database,
-- so that state, inbox and outbox share one transaction.

-- Facts that arrived. Partitioned by the time inside the UUIDv7, dropped by day.
CREATE TABLE millrace.inbox (
    event_id    uuid PRIMARY KEY,
    topic       text NOT NULL,
    "partition" integer NOT NULL,
    "offset"    bigint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT transaction_timestamp()
) PARTITION BY RANGE (event_id);
CREATE TABLE millrace.inbox_default PARTITION OF millrace.inbox DEFAULT;

-- The last version applied for each key, kept for ever: what the inbox has forgotten, this has not.
CREATE TABLE millrace.last_version (
    topic   text NOT NULL,
    key     text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (topic, key)
);

-- The last version announced for each key; its row lock orders the announcements of a key.
CREATE TABLE millrace.stream_version (
    topic   text NOT NULL,
    key     text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (topic, key)
);

-- Facts to be published. `id` is drawn while the key's row in stream_version is locked, so that
-- within a key the order of ids is the order of commits.
CREATE SEQUENCE millrace.outbox_id;
CREATE TABLE millrace.outbox (
    event_id       uuid PRIMARY KEY,
    id             bigint NOT NULL DEFAULT nextval('millrace.outbox_id'),
    shard          smallint NOT NULL,
    topic          text NOT NULL,
    name           text NOT NULL,
    key            text NOT NULL,
    version        bigint NOT NULL,
    payload        bytea NOT NULL,
    correlation_id text NOT NULL,
    causation_id   uuid,
    traceparent    text,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    sent_at        timestamptz
) PARTITION BY RANGE (event_id);
CREATE INDEX outbox_unsent ON millrace.outbox (id) WHERE sent_at IS NULL;
CREATE TABLE millrace.outbox_default PARTITION OF millrace.outbox DEFAULT;

-- How far a view has folded each partition.
CREATE TABLE millrace.view_position (
    topic       text NOT NULL,
    "partition" integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, "partition")
);

-- Answers given under an idempotency key, stored in the transaction of the command.
CREATE TABLE millrace.idempotency (
    scope      text NOT NULL,
    key        text NOT NULL,
    request    bytea NOT NULL,
    status     smallint,
    headers    jsonb,
    body       jsonb,
    created_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_age ON millrace.idempotency (created_at);
