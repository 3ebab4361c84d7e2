-- Whether a fact is sent is not written beside it, which would be a second version of every row: the relay
-- says of each shard below which id everything is sent, and above it which ids are.
LOCK TABLE millrace.outbox IN ACCESS EXCLUSIVE MODE;
CREATE TABLE millrace.relay (
    shard smallint PRIMARY KEY,
    below bigint NOT NULL,
    sent  int8multirange NOT NULL DEFAULT '{}'
) WITH (fillfactor = 10);
INSERT INTO millrace.relay (shard, below, sent)
SELECT shard,
    COALESCE((SELECT min(id) FROM millrace.outbox WHERE sent_at IS NULL),
        (SELECT max(id) + 1 FROM millrace.outbox), 0),
    COALESCE((SELECT range_agg(int8range(id, id + 1)) FROM millrace.outbox
        WHERE sent_at IS NOT NULL
            AND id > (SELECT min(id) FROM millrace.outbox WHERE sent_at IS NULL)), '{}')
FROM generate_series(0, 15) AS shard;

DROP INDEX millrace.outbox_unsent;
ALTER TABLE millrace.outbox DROP CONSTRAINT outbox_pkey;
ALTER TABLE millrace.outbox DROP COLUMN sent_at;
CREATE INDEX outbox_id_order ON millrace.outbox (id);

-- Only the platform writes it, and a check is read anew from the catalogue for each statement.
ALTER TABLE millrace.inbox DROP CONSTRAINT inbox_outcome_check;

-- What is not sent yet, as far as the relay has said: it says so a few times a second.
CREATE VIEW millrace.unsent AS
SELECT o.* FROM (SELECT below, sent, array_agg(shard) AS shards FROM millrace.relay
                 GROUP BY below, sent) AS said
    CROSS JOIN LATERAL unnest(int8multirange(int8range(below, NULL)) - sent) AS gap
    CROSS JOIN LATERAL (
        SELECT * FROM millrace.outbox
        WHERE id >= lower(gap) AND id < COALESCE(upper(gap), 9223372036854775807)
            AND shard = ANY (said.shards)) AS o;
