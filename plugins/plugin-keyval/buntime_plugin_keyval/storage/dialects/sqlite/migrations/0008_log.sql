-- Which log of changes this is, and the last change that was trimmed from it: the places that it
-- knows are its rows and that one. At first it is the beginning, before every change. A copy of the
-- database is the same log until it is written; from then on its changes are others, which their
-- versionstamps show.
CREATE TABLE kv_log (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch TEXT NOT NULL,
  trimmed_seq INTEGER NOT NULL,
  trimmed_stamp TEXT NOT NULL
);

INSERT INTO kv_log (id, epoch, trimmed_seq, trimmed_stamp)
SELECT 1, '{identity}', coalesce(min(seq), 1) - 1, '' FROM kv_changes;
