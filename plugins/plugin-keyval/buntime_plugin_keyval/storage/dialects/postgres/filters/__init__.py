"""Filters in PostgreSQL."""
