-- Our own copy of what the catalogue says of each article.
CREATE TABLE product (
    sku text PRIMARY KEY,
    name text NOT NULL,
    price bigint NOT NULL,
    currency text NOT NULL,
    withdrawn boolean NOT NULL
);

-- What customers are about to order: lines are quantities by article. A cart that was checked out
-- names its order and changes no more.
CREATE TABLE cart (
    cart_id uuid PRIMARY KEY,
    customer_id text NOT NULL,
    store_id text NOT NULL,
    lines jsonb NOT NULL,
    order_id uuid
);

-- Every order, from its checkout to the one state in which it ends.
CREATE TABLE orders (
    order_id uuid PRIMARY KEY,
    customer_id text NOT NULL,
    store_id text NOT NULL,
    reference text,
    lines jsonb NOT NULL,
    total bigint NOT NULL,
    currency text NOT NULL,
    placed_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('placed', 'reserved', 'paid',
        'confirmed', 'rejected', 'refused', 'cancelled', 'expired')),
    stock text NOT NULL CHECK (stock IN ('pending', 'done', 'failed', 'undone')),
    payment text NOT NULL CHECK (payment IN ('pending', 'done', 'failed', 'undone')),
    sale text NOT NULL CHECK (sale IN ('pending', 'done', 'failed', 'undone')),
    deadline timestamptz,
    closed_at timestamptz,
    CHECK ((deadline IS NULL) = (status NOT IN ('placed', 'reserved', 'paid'))),
    CHECK ((closed_at IS NULL) = (deadline IS NOT NULL))
);

CREATE INDEX orders_due ON orders (deadline) WHERE deadline IS NOT NULL;
