-- A sum for each book; a book is never deep in debt. A pardoned book takes every amount.
CREATE TABLE book (
    book     text PRIMARY KEY,
    total    bigint NOT NULL CHECK (total > -500000),
    notes    bigint NOT NULL,
    pardoned boolean NOT NULL DEFAULT false
);
