"""Hrana, libSQL's protocol for SQL over a network: existing libSQL clients work against it."""
