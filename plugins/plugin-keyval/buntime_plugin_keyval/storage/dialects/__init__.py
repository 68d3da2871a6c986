"""The store's operations on a database, by name, and their SQL in each dialect."""
