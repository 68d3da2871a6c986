"""Removing data that has expired or is too old."""
