"""Locks: one at a time, over all processes and hosts of a store."""
