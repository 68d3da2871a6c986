"""Locks: one holder at a time, across all processes and hosts of a store."""
