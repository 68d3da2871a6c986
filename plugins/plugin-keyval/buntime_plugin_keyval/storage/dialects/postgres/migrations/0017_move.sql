-- The mark of a move of this store to another database, or of one that comes here: see `moves.py`.
-- There is at most one.
CREATE TABLE kv_move (
  id bigint PRIMARY KEY CHECK (id = 1),
  token text NOT NULL,
  state text NOT NULL,
  ends_at bigint NOT NULL,
  other text NOT NULL,
  place text NOT NULL
);

-- What triggers call that close a store for its move.
CREATE FUNCTION kv_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'kv_closed' USING ERRCODE = 'check_violation';
END $$;
