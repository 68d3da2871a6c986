"""What the store asks of a database, as named operations, and how each dialect says them in SQL."""
