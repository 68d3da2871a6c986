"""The contents of the database, and how they are read and written; no HTTP, no Python values."""
