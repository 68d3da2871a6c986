"""Consumers: named positions in the stream, each held by one owner at a time."""
