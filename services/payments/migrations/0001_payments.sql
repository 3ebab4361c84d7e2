-- What each customer has paid in and not spent, in minor units of one currency.
CREATE TABLE account (
    customer_id text PRIMARY KEY,
    currency text NOT NULL,
    balance bigint NOT NULL CHECK (balance >= 0)
);

-- What was decided for an order. A tombstone is a refund that came before its charge.
CREATE TABLE charge (
    order_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('charged', 'refused', 'refunded', 'tombstone')),
    customer_id text NOT NULL,
    amount bigint,
    currency text,
    CHECK ((amount IS NOT NULL AND currency IS NOT NULL) = (state IN ('charged', 'refunded')))
);

-- Every movement of money as two entries whose sum is zero, never changed itself: the sum of a
-- customer's entries is the balance of the account.
CREATE TABLE money_ledger (
    cause uuid NOT NULL,
    account text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('deposit', 'charge', 'refund')),
    order_id uuid,
    amount bigint NOT NULL,
    currency text NOT NULL,
    at timestamptz NOT NULL DEFAULT transaction_timestamp(),
    PRIMARY KEY (cause, account)
);
