-- A transaction has its number before it draws an id, so that the relay can tell when nobody in
-- progress holds an id below some place: between the two nobody could see that the id is held.
ALTER TABLE millrace.outbox ALTER COLUMN id SET DEFAULT
    CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('millrace.outbox_id') END;
