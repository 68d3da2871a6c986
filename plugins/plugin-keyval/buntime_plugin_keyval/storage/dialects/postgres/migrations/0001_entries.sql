-- The store itself. `key` is the order-preserving encoding, `key_json` the same key as JSON text,
-- so that answers are spliced together inside the server and people can read the table. `value` is
-- JSON as text, which is the truth: what the server's own types make of it may be less.
CREATE TABLE kv_entries (
  key bytea PRIMARY KEY,
  key_json text NOT NULL,
  value text NOT NULL,
  versionstamp text COLLATE "C" NOT NULL,
  expires_at bigint
) WITH (fillfactor = 85);

CREATE INDEX kv_entries_expiry ON kv_entries (expires_at, key) WHERE expires_at IS NOT NULL;

-- What happened, in commit order. The newest row is never trimmed, so `seq` only ever grows.
CREATE TABLE kv_changes (
  seq bigint PRIMARY KEY,
  key bytea NOT NULL,
  versionstamp text COLLATE "C" NOT NULL,
  operation text NOT NULL,
  at bigint NOT NULL
);

-- A value as the server's own JSON, for filters alone. It refuses NUL in texts, so that stands there
-- as two characters that no text has beside each other then, in the order that they had: NUL is
-- U+0001 U+0001, U+0001 is U+0001 U+0002. Meanwhile U+0001, which JSON cannot hold, stands for
-- an escaped backslash.
CREATE FUNCTION kv_json(value text) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT CASE
  WHEN strpos(value, '\u000') = 0 THEN value::jsonb
  ELSE replace(replace(replace(replace(value, '\\', E'\x01'),
    '\u0001', '\u0001\u0002'), '\u0000', '\u0001\u0001'), E'\x01', '\\')::jsonb
END
$$;
