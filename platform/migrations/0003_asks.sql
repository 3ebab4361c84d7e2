-- What is asked of partners outside. The row is written by the transaction that decides to ask, and
-- answered by the transaction that acts on the answer; the call lies between the two. The key is the
-- idempotency key, so that a decision made twice asks once.
CREATE TABLE millrace.ask (
    name           text NOT NULL,
    key            text NOT NULL,
    stream         text NOT NULL,
    body           jsonb NOT NULL,
    correlation_id text NOT NULL,
    causation_id   uuid,
    traceparent    text,
    asked_at       timestamptz NOT NULL DEFAULT transaction_timestamp(),
    -- When it is called next. A call in flight moves it past its own end: that is its lease.
    due_at         timestamptz NOT NULL DEFAULT transaction_timestamp(),
    attempts       integer NOT NULL DEFAULT 0,
    error          text,
    answer         jsonb,
    answered_at    timestamptz,
    PRIMARY KEY (name, key)
);
CREATE INDEX ask_due ON millrace.ask (name, due_at) WHERE answered_at IS NULL;
CREATE INDEX ask_stream ON millrace.ask (stream);
CREATE INDEX ask_answered ON millrace.ask (answered_at) WHERE answered_at IS NOT NULL;
