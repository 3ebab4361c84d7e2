-- What a consumer group could not handle, and what waits behind it: by key, in order, in the
-- database of the group that failed. Everybody else has long gone on.

-- What became of a fact, and what it looked like: another body under a known id is no repetition.
ALTER TABLE millrace.inbox ADD COLUMN digest bigint;
ALTER TABLE millrace.inbox ADD COLUMN outcome text NOT NULL DEFAULT 'handled'
    CHECK (outcome IN ('handled', 'parked', 'dead'));

-- Keys that wait. Its row lock is what a live batch, a drain and an operator's command meet at.
CREATE TABLE millrace.parked_key (
    key         text PRIMARY KEY,
    state       text NOT NULL CHECK (state IN ('retrying', 'held', 'dead', 'redriving')),
    -- When its first record is tried again; nobody tries a dead one by himself.
    due_at      timestamptz,
    fingerprint text NOT NULL,
    operation   uuid,
    since       timestamptz NOT NULL DEFAULT transaction_timestamp()
);
CREATE INDEX parked_key_due ON millrace.parked_key (due_at) WHERE state <> 'dead';
CREATE INDEX parked_key_cause ON millrace.parked_key (fingerprint, since) WHERE state = 'dead';

-- Records that wait, in the order of their arrival, byte for byte as they were read.
CREATE TABLE millrace.parked (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key             text NOT NULL,
    event_id        uuid NOT NULL UNIQUE,
    topic           text NOT NULL,
    "partition"     integer NOT NULL,
    "offset"        bigint NOT NULL,
    timestamp_ms    bigint,
    record_key      bytea,
    payload         bytea,
    -- JSON: a list of names with their bytes or null.
    headers         bytea NOT NULL,
    -- The payload an operator repaired; the original stays.
    edited          bytea,
    name            text NOT NULL,
    status          text NOT NULL
        CHECK (status IN ('waiting', 'retrying', 'dead', 'redriven', 'discarded')),
    reason          text NOT NULL,
    error_type      text NOT NULL DEFAULT '',
    error_message   text NOT NULL DEFAULT '',
    error_chain     text NOT NULL DEFAULT '',
    fingerprint     text NOT NULL DEFAULT '',
    attempts        integer NOT NULL DEFAULT 0,
    redrives        integer NOT NULL DEFAULT 0,
    first_failed_at timestamptz,
    last_failed_at  timestamptz,
    parked_at       timestamptz NOT NULL DEFAULT transaction_timestamp()
);
CREATE INDEX parked_waiting ON millrace.parked (key, id)
    WHERE status IN ('waiting', 'retrying', 'dead');
CREATE INDEX parked_done ON millrace.parked (parked_at) WHERE status IN ('redriven', 'discarded');

-- A dead letter leaves through the outbox like a fact, but with the bytes it came with.
ALTER TABLE millrace.outbox ALTER COLUMN payload DROP NOT NULL;
ALTER TABLE millrace.outbox ADD COLUMN raw_key bytea;
ALTER TABLE millrace.outbox ADD COLUMN raw_headers bytea;
ALTER TABLE millrace.outbox ADD COLUMN raw_timestamp_ms bigint;

-- What operators asked for, and how far it is.
CREATE TABLE millrace.operation (
    id          uuid PRIMARY KEY,
    kind        text NOT NULL,
    command     jsonb NOT NULL,
    state       text NOT NULL
        CHECK (state IN ('running', 'paused', 'done', 'stopped', 'cancelled', 'refused')),
    total       integer NOT NULL DEFAULT 0,
    released    integer NOT NULL DEFAULT 0,
    done        integer NOT NULL DEFAULT 0,
    failed      integer NOT NULL DEFAULT 0,
    detail      text NOT NULL DEFAULT '',
    reason      text NOT NULL,
    issued_by   text NOT NULL,
    issued_at   timestamptz NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
    released_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT transaction_timestamp()
);
CREATE INDEX operation_open ON millrace.operation (issued_at) WHERE state IN ('running', 'paused');
