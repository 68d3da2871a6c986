-- The greatest versionstamp of before commits were numbered by the change log (see
-- `versionstamps.py`). The log's newest row need not have it: a clock sufficed that was set back.
-- From here on it has. The entries of a large store are not searched for it, since that would take
-- a while: the log knows what was written in the last day.
CREATE TABLE kv_stamps (id INTEGER PRIMARY KEY CHECK (id = 1), newest TEXT NOT NULL);

INSERT INTO kv_stamps (id, newest)
SELECT 1, coalesce(max(versionstamp), '')
FROM (
  SELECT versionstamp FROM kv_changes
  UNION ALL
  SELECT versionstamp FROM (
    SELECT versionstamp FROM kv_entries
    LIMIT (SELECT iif(bytes < 100000000, entries, 0) FROM kv_totals)))
WHERE versionstamp < 'fffff000' AND versionstamp GLOB
'[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-7[0-9a-f][0-9a-f][0-9a-f]-[89ab]*';
