-- How much is stored, kept by triggers so that asking costs one row.
CREATE TABLE kv_totals (
  id bigint PRIMARY KEY CHECK (id = 1),
  entries bigint NOT NULL,
  bytes bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO kv_totals (id, entries, bytes)
SELECT 1, count(*), coalesce(sum(octet_length(key) + octet_length(value)), 0) FROM kv_entries;

-- One step for each statement, however many rows it writes: a row that is changed once for each of
-- them would be there as many times until it is vacuumed.
CREATE FUNCTION kv_totals_insert() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE kv_totals SET entries = entries + added.number, bytes = bytes + added.size
  FROM (
    SELECT count(*) AS number, sum(octet_length(key) + octet_length(value)) AS size
    FROM new_rows) AS added
  WHERE added.number > 0;
  RETURN NULL;
END $$;

CREATE FUNCTION kv_totals_update() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE kv_totals SET bytes = bytes + grown.size
  FROM (
    SELECT (SELECT coalesce(sum(octet_length(value)), 0) FROM new_rows)
         - (SELECT coalesce(sum(octet_length(value)), 0) FROM old_rows) AS size) AS grown
  WHERE grown.size <> 0;
  RETURN NULL;
END $$;

CREATE FUNCTION kv_totals_delete() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  UPDATE kv_totals SET entries = entries - gone.number, bytes = bytes - gone.size
  FROM (
    SELECT count(*) AS number, sum(octet_length(key) + octet_length(value)) AS size
    FROM old_rows) AS gone
  WHERE gone.number > 0;
  RETURN NULL;
END $$;

CREATE TRIGGER kv_totals_insert AFTER INSERT ON kv_entries
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION kv_totals_insert();

CREATE TRIGGER kv_totals_update AFTER UPDATE ON kv_entries
REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION kv_totals_update();

CREATE TRIGGER kv_totals_delete AFTER DELETE ON kv_entries
REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION kv_totals_delete();

-- What was measured, summed over processes and restarts. `buckets` is a JSON array.
CREATE TABLE kv_metrics (
  operation text PRIMARY KEY,
  count bigint NOT NULL,
  errors bigint NOT NULL,
  latency_sum double precision NOT NULL,
  buckets text NOT NULL,
  updated_at bigint NOT NULL
);
