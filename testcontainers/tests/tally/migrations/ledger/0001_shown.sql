-- The highest sum seen for each book, and the partition it was read from.
CREATE TABLE shown (
    book        text PRIMARY KEY,
    "partition" integer NOT NULL,
    total       bigint NOT NULL,
    version     bigint NOT NULL,
    folded      bigint NOT NULL
);
