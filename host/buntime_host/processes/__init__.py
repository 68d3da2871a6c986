"""The server in its process, its workers, and signals."""
