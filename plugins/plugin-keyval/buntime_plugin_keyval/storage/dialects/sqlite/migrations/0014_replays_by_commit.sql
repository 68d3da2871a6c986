-- The first results of writes that came with keys of their callers', one row for all of a commit:
-- `seq` is how many have been kept up to there, `keys` has a line feed in front of each and behind
-- the last one, a fingerprint has 16 bytes, stamps have commas between them. `told` is an array in
-- JSON, or empty if nothing was told; `counts` has the random part of a stamp, a colon, a number and
-- a comma for each count of that write. Where all are forgotten, the newest row stays, empty.
ALTER TABLE kv_replays RENAME TO kv_replays_one_by_one;

CREATE TABLE kv_replays (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  keys TEXT NOT NULL,
  fingerprints BLOB NOT NULL,
  stamps TEXT NOT NULL,
  counts TEXT NOT NULL,
  told TEXT NOT NULL
);

INSERT INTO kv_replays (seq, at, keys, fingerprints, stamps, counts, told)
SELECT seq, at, char(10) || id || char(10), fingerprint, versionstamp,
  iif(counts = '', '', substr(versionstamp, 20) || ':' || replace(
    rtrim(counts, ','), ',', ',' || substr(versionstamp, 20) || ':') || ','),
  iif(long_id IS NULL, iif(told = 'null', '', '[' || told || ']'), '[' || (
    SELECT text FROM kv_long_values WHERE kv_long_values.id = long_id) || ']')
FROM kv_replays_one_by_one;

DELETE FROM kv_long_values WHERE id IN (
  SELECT long_id FROM kv_replays_one_by_one WHERE long_id IS NOT NULL);

DROP TABLE kv_replays_one_by_one;
