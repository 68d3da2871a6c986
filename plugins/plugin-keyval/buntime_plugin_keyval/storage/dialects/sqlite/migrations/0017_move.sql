-- The mark of a move of this store to another database, or of one that comes here: see `moves.py`.
-- There is at most one.
CREATE TABLE kv_move (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  token TEXT NOT NULL,
  state TEXT NOT NULL,
  ends_at INTEGER NOT NULL,
  other TEXT NOT NULL,
  place TEXT NOT NULL
);
