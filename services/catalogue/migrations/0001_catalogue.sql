-- Every article that was ever sold, as it is now. Prices are in minor units.
CREATE TABLE product (
    sku text PRIMARY KEY,
    name text NOT NULL,
    price bigint NOT NULL CHECK (price > 0),
    currency text NOT NULL,
    category text NOT NULL,
    withdrawn boolean NOT NULL,
    revision bigint NOT NULL
);

CREATE INDEX product_category ON product (category, sku) WHERE NOT withdrawn;
