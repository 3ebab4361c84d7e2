-- What was last said of every order to the topic of states: the facts it was folded from and a
-- fingerprint of it, or neither when the order is erased. It outlives the view: when that is folded
-- again from the beginning, nothing is said that knows less.
CREATE TABLE announced (
    order_id uuid PRIMARY KEY,
    facts uuid[],
    digest bigint,
    CHECK ((facts IS NULL) = (digest IS NULL))
);
