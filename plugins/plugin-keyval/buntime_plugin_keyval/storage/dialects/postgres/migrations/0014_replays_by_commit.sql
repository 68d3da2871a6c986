-- The first results of writes that came with keys of their callers', one row for all of a commit:
-- `seq` is how many have been kept up to there, `keys` has a line feed in front of each and behind
-- the last one, a fingerprint has 16 bytes, stamps have commas between them. `told` is an array in
-- JSON, or empty if nothing was told; `counts` has the random part of a stamp, a colon, a number and
-- a comma for each count of that write. Where all are forgotten, the newest row stays, empty.
DROP TABLE kv_replays;

CREATE TABLE kv_replays (
  seq bigint PRIMARY KEY,
  at bigint NOT NULL,
  keys text NOT NULL,
  fingerprints bytea NOT NULL,
  stamps text NOT NULL,
  counts text NOT NULL,
  told text NOT NULL
);
