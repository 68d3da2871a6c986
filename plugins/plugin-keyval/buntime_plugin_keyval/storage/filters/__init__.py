"""Filters, ready to be said in SQL."""
