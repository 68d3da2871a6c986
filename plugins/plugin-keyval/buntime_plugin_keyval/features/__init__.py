"""What the store can do besides holding values; each is one folder."""
