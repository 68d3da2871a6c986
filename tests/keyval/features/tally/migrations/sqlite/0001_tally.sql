-- How much was counted, by name.
CREATE TABLE kv_tally (
  name TEXT PRIMARY KEY,
  total INTEGER NOT NULL
);
