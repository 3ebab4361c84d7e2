-- Partitions an operator wants the group to read from elsewhere; the member that has one moves it
-- and takes the row away. One for each partition: the latest wish counts.
CREATE TABLE millrace.seek (
    topic       text NOT NULL,
    "partition" integer NOT NULL,
    "offset"    bigint NOT NULL,
    operation   uuid NOT NULL,
    PRIMARY KEY (topic, "partition")
);
