"""The dialect of SQLite, which libSQL servers speak too."""
