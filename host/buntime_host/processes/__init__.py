"""Processes: the server in its process, its workers, and signals."""
