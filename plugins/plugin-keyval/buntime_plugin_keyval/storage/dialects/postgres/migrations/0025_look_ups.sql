-- As before, with a shorter way for groups that put each of their keys once: their `o_put` and
-- `o_anew` are empty. The server looks each key up, also while it believes that the tables are as
-- empty as they were when it made its plans: those stay with a connection until the tables are
-- analysed.
CREATE OR REPLACE FUNCTION kv_commit(
  p_writer text, p_number bigint, p_now bigint, p_wall bigint, p_firm boolean, p_stamps text[],
  g_commit int[], g_place int[], g_key bytea[], g_stamp text[], g_from int[],
  d_commit int[], d_place int[], d_earlier int[],
  o_commit int[], o_put boolean[], o_key bytea[], o_json text[], o_value text[], o_expires bigint[],
  o_metadata text[], o_anew boolean[], o_type text[],
  n_commit int[],
  m_commit int[], m_id text[], m_value text[], m_ready bigint[], m_most bigint[], m_backoff text[],
  m_keys text[],
  OUT stale boolean, OUT failed int[], OUT given text[], OUT positions bigint[])
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan TO off AS $$
DECLARE
  stamps text[] := p_stamps;
  logged text;
  noted text;
  last bigint;
  first bigint;
  known record;
  i int;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('buntime ' || current_schema(), 0));
  SELECT w.* INTO known FROM kv_writers AS w WHERE w.writer = p_writer AND w.number >= p_number;
  IF FOUND THEN
    IF known.number > p_number THEN
      RAISE EXCEPTION 'a later group of this writer is committed';
    END IF;
    stale := known.stale; failed := known.failed; given := known.given;
    positions := known.positions;
    RETURN;
  END IF;
  failed := array_fill(-1, ARRAY[cardinality(p_stamps)]);
  positions := '{}';
  SELECT c.seq, c.versionstamp INTO last, logged FROM kv_changes AS c ORDER BY c.seq DESC LIMIT 1;
  last := coalesce(last, 0);
  SELECT s.newest INTO noted FROM kv_stamps AS s;
  stale := p_firm AND (coalesce(logged > p_stamps[1] COLLATE "C", FALSE)
    OR noted > p_stamps[1] COLLATE "C");
  IF stale THEN
    RETURN;
  END IF;
  IF NOT p_firm THEN
    IF logged ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
       AND logged COLLATE "C" < 'fffff000' THEN
      noted := greatest(noted COLLATE "C", logged COLLATE "C");
    END IF;
    IF noted COLLATE "C" >= p_stamps[1] THEN
      first := concat('x', substr(noted, 1, 8), substr(noted, 10, 4),
        substr(noted, 16, 3))::bit(60)::bigint;
      SELECT array_agg(concat(substr(digits, 1, 8), '-', substr(digits, 9, 4), '-7',
        substr(digits, 13, 3), '-', substr(stamp, 20)) ORDER BY number) INTO stamps
      FROM (
        SELECT number, stamp, lpad(to_hex(first + number), 15, '0') AS digits
        FROM unnest(p_stamps) WITH ORDINALITY AS made (stamp, number)) AS following;
      given := stamps;
    END IF;
  END IF;
  IF cardinality(g_commit) > 0 THEN
    FOR known IN
      SELECT g.commit, min(g.place) AS place
      FROM unnest(g_commit, g_place, g_key, g_stamp, g_from) AS g (commit, place, key, stamp, since)
      WHERE (
        SELECT substr(e.versionstamp, g.since) FROM kv_entries AS e
        WHERE e.key = g.key AND (e.expires_at IS NULL OR e.expires_at > p_now))
        IS DISTINCT FROM g.stamp
      GROUP BY g.commit
    LOOP
      failed[known.commit] := known.place;
    END LOOP;
  END IF;
  FOR i IN 1 .. cardinality(d_commit) LOOP
    IF failed[d_earlier[i]] <> -1 AND failed[d_commit[i]] = -1 THEN
      failed[d_commit[i]] := d_place[i];
    END IF;
  END LOOP;
  -- Most groups have each key once, and put all of them: no write of theirs is on top of another.
  IF cardinality(o_put) = 0 THEN
    WITH given AS MATERIALIZED (
      SELECT o.*, last + row_number() OVER (ORDER BY o.number) AS seq
      FROM unnest(o_commit, o_key, o_json, o_value, o_expires, o_metadata, o_type) WITH ORDINALITY
        AS o (commit, key, json, value, expires, metadata, type, number)
      WHERE failed[o.commit] = -1),
    added AS (
      INSERT INTO kv_changes (seq, key, versionstamp, operation, at, revision, type)
      SELECT g.seq, g.key, stamps[g.commit], 'set', p_now, 1 + coalesce((
        SELECT e.revision FROM kv_entries AS e
        WHERE e.key = g.key AND (e.expires_at IS NULL OR e.expires_at > p_now)), 0), g.type
      FROM given AS g)
    INSERT INTO kv_entries AS old
      (key, key_json, value, versionstamp, expires_at, metadata, created_at, updated_at, type)
    SELECT g.key, g.json, g.value, stamps[g.commit], g.expires, g.metadata, p_wall, p_wall, g.type
    FROM given AS g
    ON CONFLICT (key) DO UPDATE SET
      value = excluded.value, versionstamp = excluded.versionstamp,
      expires_at = excluded.expires_at, metadata = excluded.metadata, type = excluded.type,
      updated_at = excluded.updated_at,
      revision = excluded.revision + CASE WHEN old.expires_at <= p_now THEN 0 ELSE old.revision END,
      created_at = CASE
        WHEN old.expires_at <= p_now THEN excluded.created_at ELSE old.created_at END;
    FOR i IN 1 .. cardinality(o_commit) LOOP
      IF failed[o_commit[i]] = -1 THEN last := last + 1; positions[i] := last;
      ELSE positions[i] := 0; END IF;
    END LOOP;
  ELSE
    -- A put is logged always, and a deletion where there is something to delete: what was before it in
    -- the group, or in the table.
    WITH written AS (
      SELECT o.*, max(o.number) FILTER (WHERE o.anew) OVER before AS made,
        max(o.number) FILTER (WHERE NOT o.is_put) OVER earlier AS removed,
        lag(o.type) OVER before AS type_before,
        lag(o.is_put AND (o.expires IS NULL OR o.expires > p_now)) OVER before AS was_there
      FROM unnest(o_commit, o_put, o_key, o_expires, o_anew, o_type) WITH ORDINALITY
        AS o (commit, is_put, key, expires, anew, type, number)
      WHERE failed[o.commit] = -1
      WINDOW before AS (PARTITION BY o.key ORDER BY o.number),
        earlier AS (PARTITION BY o.key ORDER BY o.number
          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
    done AS MATERIALIZED (
      SELECT w.*, greatest(w.made, w.removed) IS NULL AS counts_on,
        count(*) FILTER (WHERE w.is_put) OVER (
          PARTITION BY w.key, greatest(w.made, w.removed) ORDER BY w.number) AS writes
      FROM written AS w),
    changes AS MATERIALIZED (
      SELECT d.*, last + row_number() OVER (ORDER BY d.number) AS seq,
        d.writes + CASE WHEN d.counts_on THEN coalesce(e.revision, 0) ELSE 0 END AS revision,
        CASE WHEN d.is_put THEN d.type WHEN d.was_there IS NULL THEN e.type ELSE d.type_before END
          AS logged_type
      FROM done AS d LEFT JOIN LATERAL (
        SELECT * FROM kv_entries AS f
        WHERE f.key = d.key AND (f.expires_at IS NULL OR f.expires_at > p_now) OFFSET 0) AS e ON TRUE
      WHERE d.is_put OR coalesce(d.was_there, e.key IS NOT NULL)),
    added AS (
      INSERT INTO kv_changes (seq, key, versionstamp, operation, at, revision, type)
      SELECT c.seq, c.key, stamps[c.commit], CASE WHEN c.is_put THEN 'set' ELSE 'delete' END, p_now,
        c.revision, c.logged_type
      FROM changes AS c)
    SELECT coalesce(array_agg(coalesce(c.seq, 0) ORDER BY n.number), '{}') INTO positions
    FROM generate_series(1, cardinality(o_commit)) AS n (number) LEFT JOIN changes AS c USING (number);
    -- What remains: what was deleted first, since a put behind that is a new entry, then the last puts.
    -- What has expired is left to be told of, unless the group has put something into its place.
    IF FALSE = ANY (o_put) OR TRUE = ANY (o_anew) THEN
      DELETE FROM kv_entries AS e WHERE e.ctid = ANY (ARRAY(
        SELECT found.place
        FROM (
          SELECT o.key, bool_or(o.is_put) AS was_put
          FROM unnest(o_commit, o_put, o_key, o_anew) AS o (commit, is_put, key, anew)
          WHERE failed[o.commit] = -1
          GROUP BY o.key HAVING bool_or(o.anew OR NOT o.is_put)) AS gone
        CROSS JOIN LATERAL (
          SELECT f.ctid AS place FROM kv_entries AS f
          WHERE f.key = gone.key AND (gone.was_put OR f.expires_at IS NULL OR f.expires_at > p_now)
          OFFSET 0) AS found));
    END IF;
    -- Each put counts as one write of the entry that is there by then, or makes a new one.
    INSERT INTO kv_entries AS old
      (key, key_json, value, versionstamp, expires_at, metadata, created_at, updated_at, revision, type)
    SELECT l.key, f.json, f.value, stamps[l.commit], f.expires, f.metadata, p_wall, p_wall,
      l.writes, f.type
    FROM (
      SELECT DISTINCT ON (c.key) c.key, c.commit, c.is_put, c.number,
        count(*) FILTER (WHERE c.is_put AND c.number >= coalesce(c.reset, 0)) OVER one_key AS writes
      FROM (
        SELECT o.*, max(o.number) FILTER (WHERE o.anew OR NOT o.is_put) OVER (PARTITION BY o.key)
          AS reset
        FROM unnest(o_commit, o_put, o_key, o_anew) WITH ORDINALITY
          AS o (commit, is_put, key, anew, number)
        WHERE failed[o.commit] = -1) AS c
      WINDOW one_key AS (PARTITION BY c.key)
      ORDER BY c.key, c.number DESC) AS l
    JOIN unnest(o_json, o_value, o_expires, o_metadata, o_type) WITH ORDINALITY
      AS f (json, value, expires, metadata, type, number) USING (number)
    WHERE l.is_put
    ON CONFLICT (key) DO UPDATE SET
      value = excluded.value, versionstamp = excluded.versionstamp,
      expires_at = excluded.expires_at, metadata = excluded.metadata, type = excluded.type,
      updated_at = excluded.updated_at,
      revision = excluded.revision + CASE WHEN old.expires_at <= p_now THEN 0 ELSE old.revision END,
      created_at = CASE
        WHEN old.expires_at <= p_now THEN excluded.created_at ELSE old.created_at END;
  END IF;
  IF cardinality(m_commit) > 0 THEN
    INSERT INTO kv_queue (id, value, ready_at, visible_at, attempts, max_attempts,
      backoff_schedule, keys_if_undelivered, created_at, set_at)
    SELECT m.id, m.value, m.ready, m.ready, 0, m.most, m.backoff, m.keys, p_wall, p_now
    FROM unnest(m_commit, m_id, m_value, m_ready, m_most, m_backoff, m_keys) WITH ORDINALITY
      AS m (commit, id, value, ready, most, backoff, keys, number)
    WHERE failed[m.commit] = -1 ORDER BY m.number;
  END IF;
  IF cardinality(n_commit) > 0 THEN
    UPDATE kv_stamps SET newest = noting.stamp FROM (
      SELECT max(stamps[n.commit] COLLATE "C") AS stamp FROM unnest(n_commit) AS n (commit)
      WHERE failed[n.commit] = -1) AS noting
    WHERE noting.stamp IS NOT NULL;
  END IF;
  IF p_number = 1 THEN
    DELETE FROM kv_writers AS w WHERE w.at < p_now - 86400000;  -- of processes that are gone
  END IF;
  INSERT INTO kv_writers (writer, number, at, stale, failed, given, positions)
  VALUES (p_writer, p_number, p_now, stale, failed, given, positions)
  ON CONFLICT (writer) DO UPDATE SET
    number = excluded.number, at = excluded.at, stale = excluded.stale, failed = excluded.failed,
    given = excluded.given, positions = excluded.positions;
END $$;

-- As before, and each key is looked up here, too.
CREATE OR REPLACE FUNCTION kv_index_removed() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT SET enable_seqscan TO off AS $$
BEGIN
  DELETE FROM kv_docs WHERE ctid = ANY (ARRAY(
    SELECT found.place
    FROM kv_indexes JOIN removed ON key >= prefix AND key < prefix || '\xff'::bytea
    CROSS JOIN LATERAL (
      SELECT d.ctid AS place FROM kv_docs AS d WHERE d.index_id = id AND d.doc_key = key OFFSET 0
    ) AS found));
  RETURN NULL;
END
$$;
