-- Commits a group of puts, each of another key, with neither expiry, metadata nor type, and with firm
-- stamps, which grow from one to the next: what most groups are. They come as texts with a line for
-- each put. The changes get the positions behind `before`. As in `kv_commit` the lock comes first, and
-- the same call made again tells what became of it.
CREATE FUNCTION kv_put_each(
  p_writer text, p_number bigint, p_now bigint, p_wall bigint,
  p_stamps text, p_keys text, p_json text, p_values text, OUT stale boolean, OUT before bigint)
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan TO off AS $$
DECLARE
  known bigint;
  told bigint[];
  logged text;
  noted text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('buntime ' || current_schema(), 0));
  SELECT w.number, w.stale, w.positions, c.seq, c.versionstamp, s.newest
  INTO known, stale, told, before, logged, noted
  FROM kv_stamps AS s
  LEFT JOIN (
    SELECT l.seq, l.versionstamp FROM kv_changes AS l ORDER BY l.seq DESC LIMIT 1) AS c ON TRUE
  LEFT JOIN kv_writers AS w ON w.writer = p_writer AND w.number >= p_number;
  IF known > p_number THEN
    RAISE EXCEPTION 'a later group of this writer is committed';
  ELSIF known = p_number THEN
    before := told[1];
    RETURN;
  END IF;
  before := coalesce(before, 0);
  stale := greatest(logged COLLATE "C", noted) > split_part(p_stamps, chr(10), 1);
  IF stale THEN
    RETURN;
  END IF;
  WITH written AS (
    INSERT INTO kv_entries AS old (key, key_json, value, versionstamp, created_at, updated_at)
    SELECT decode(g.key, 'hex'), g.json, g.value, g.stamp, p_wall, p_wall
    FROM unnest(string_to_array(p_keys, chr(10)), string_to_array(p_json, chr(10)),
      string_to_array(p_values, chr(10)), string_to_array(p_stamps, chr(10)))
      AS g (key, json, value, stamp)
    ON CONFLICT (key) DO UPDATE SET
      value = excluded.value, versionstamp = excluded.versionstamp, expires_at = NULL,
      metadata = NULL, type = NULL, updated_at = excluded.updated_at,
      revision = CASE WHEN old.expires_at <= p_now THEN 1 ELSE old.revision + 1 END,
      created_at = CASE
        WHEN old.expires_at <= p_now THEN excluded.created_at ELSE old.created_at END
    RETURNING key, versionstamp, revision),
  logging AS (
    INSERT INTO kv_changes (seq, key, versionstamp, operation, at, revision)
    SELECT before + row_number() OVER (ORDER BY w.versionstamp), w.key, w.versionstamp, 'set',
      p_now, w.revision
    FROM written AS w)
  INSERT INTO kv_writers (writer, number, at, stale, failed, given, positions)
  VALUES (p_writer, p_number, p_now, FALSE, '{}', NULL, ARRAY[before])
  ON CONFLICT (writer) DO UPDATE SET
    number = excluded.number, at = excluded.at, stale = excluded.stale, failed = excluded.failed,
    given = excluded.given, positions = excluded.positions;
  IF p_number = 1 THEN
    DELETE FROM kv_writers AS w WHERE w.at < p_now - 86400000;  -- of processes that are gone
  END IF;
END $$;
