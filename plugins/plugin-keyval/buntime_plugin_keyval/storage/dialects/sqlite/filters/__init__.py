"""Filters in SQLite."""
