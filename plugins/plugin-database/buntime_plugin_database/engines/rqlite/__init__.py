"""The engine of clusters: rqlite, SQLite on nodes that elect their leader."""
