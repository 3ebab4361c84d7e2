-- What is known of every order: the facts, and a summary of them that can be searched. Everything
-- but the revision is a function of the facts, so that folding them again gives the same row.
CREATE TABLE order_view (
    order_id uuid PRIMARY KEY,
    partition int NOT NULL,
    status text NOT NULL,
    customer_id text,
    store_id text,
    total bigint,
    currency text,
    placed_at timestamptz,
    closed_at timestamptz,
    updated_at timestamptz NOT NULL,
    version bigint NOT NULL,
    facts jsonb NOT NULL,
    revision bigint NOT NULL
);

CREATE INDEX order_view_partition ON order_view (partition, order_id);
CREATE INDEX order_view_status ON order_view (status, order_id);
CREATE INDEX order_view_store ON order_view (store_id, order_id);
CREATE INDEX order_view_customer ON order_view (customer_id, order_id);
