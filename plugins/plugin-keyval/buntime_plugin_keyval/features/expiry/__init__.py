"""Removing what has expired or is too old."""
