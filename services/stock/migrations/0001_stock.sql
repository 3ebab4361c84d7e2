-- What each store has of each article, and how much of it is promised to orders.
CREATE TABLE level (
    store_id text NOT NULL,
    sku text NOT NULL,
    on_hand bigint NOT NULL CHECK (on_hand >= 0),
    reserved bigint NOT NULL CHECK (reserved BETWEEN 0 AND on_hand),
    PRIMARY KEY (store_id, sku)
);

-- What was decided for an order. A tombstone is a release that came before its reservation.
CREATE TABLE reservation (
    order_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('reserved', 'unavailable', 'released', 'tombstone')),
    store_id text NOT NULL,
    lines jsonb NOT NULL
);

-- Every change of a level, never changed itself: its sums are the levels.
CREATE TABLE stock_ledger (
    cause uuid NOT NULL,
    store_id text NOT NULL,
    sku text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('receipt', 'reserve', 'release')),
    order_id uuid,
    on_hand bigint NOT NULL,
    reserved bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT transaction_timestamp(),
    PRIMARY KEY (cause, store_id, sku)
);
