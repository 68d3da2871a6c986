"""What is in the database and how it is read and written; no HTTP, no Python values."""
