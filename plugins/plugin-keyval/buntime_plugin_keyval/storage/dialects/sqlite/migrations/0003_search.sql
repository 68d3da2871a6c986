-- Full-text indexes. Each has an FTS5 table `kv_fts_<id>` and triggers on kv_entries that keep
-- it, so that no write of any kind can leave the index behind. No id is ever used again, so that
-- who still knows an index that was dropped never meets another one in its place.
CREATE TABLE kv_indexes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  prefix BLOB NOT NULL,
  prefix_json TEXT NOT NULL,
  fields TEXT NOT NULL,
  tokenize TEXT NOT NULL,
  ready INTEGER NOT NULL,
  created_at INTEGER NOT NULL
);

CREATE UNIQUE INDEX kv_indexes_ready ON kv_indexes (prefix) WHERE ready;

-- Which row of an FTS5 table belongs to which key.
CREATE TABLE kv_docs (
  doc INTEGER PRIMARY KEY,
  index_id INTEGER NOT NULL,
  doc_key BLOB NOT NULL,
  UNIQUE (index_id, doc_key)
);
