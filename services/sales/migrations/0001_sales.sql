-- The sale of every paid order. A tombstone is a cancellation that came before its sale: it has
-- neither articles nor an amount.
CREATE TABLE sale (
    order_id uuid PRIMARY KEY,
    sale_id uuid NOT NULL UNIQUE,
    state text NOT NULL CHECK (state IN ('confirmed', 'cancelled', 'tombstone')),
    customer_id text NOT NULL,
    store_id text NOT NULL,
    lines jsonb,
    total bigint,
    currency text,
    confirmed_at timestamptz,
    cancelled_at timestamptz,
    CHECK ((total IS NULL) = (state = 'tombstone')),
    CHECK (num_nulls(lines, total, currency, confirmed_at) IN (0, 4))
);

CREATE INDEX sale_of_store ON sale (store_id, order_id) WHERE state <> 'tombstone';
