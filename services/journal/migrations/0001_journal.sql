-- Everything that was said about orders, as it was written. Each row holds the hash of the one before
-- it of its order and a hash over itself and that one, so that a change shows. Rows are only added.
CREATE TABLE entry (
    order_id       uuid NOT NULL,
    seq            bigint NOT NULL CHECK (seq > 0),
    event_id       uuid NOT NULL,
    name           text NOT NULL,
    topic          text NOT NULL,
    "partition"    integer NOT NULL,
    "offset"       bigint NOT NULL,
    schema_id      bigint NOT NULL,
    payload        bytea NOT NULL,
    headers        text NOT NULL,
    producer       text NOT NULL,
    version        bigint NOT NULL,
    correlation_id text NOT NULL,
    causation_id   uuid,
    occurred_at    timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    previous       bytea NOT NULL,
    hash           bytea NOT NULL,
    PRIMARY KEY (order_id, seq)
);

-- The last link of every order's chain, and how many entries the latest transaction appended; its row
-- lock orders what is appended. An order whose journal is frozen says by whom and why.
CREATE TABLE head (
    order_id      uuid PRIMARY KEY,
    length        bigint NOT NULL,
    hash          bytea NOT NULL,
    appended      bigint NOT NULL,
    frozen_by     text,
    frozen_reason text,
    frozen_at     timestamptz,
    CHECK ((frozen_at IS NULL) = (frozen_by IS NULL) AND (frozen_at IS NULL) = (frozen_reason IS NULL))
) WITH (fillfactor = 70);

-- The role that owns the table may not change a row either, and if somebody gives it the right again
-- or is above rights, the trigger refuses.
REVOKE UPDATE, DELETE, TRUNCATE ON entry FROM PUBLIC;
REVOKE UPDATE, DELETE, TRUNCATE ON entry FROM CURRENT_USER;

CREATE FUNCTION entry_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the journal is append-only: % on entry is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'correct an order by a compensating fact';
END
$$;

CREATE TRIGGER entry_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION entry_is_kept();
