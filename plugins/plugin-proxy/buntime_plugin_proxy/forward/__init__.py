"""Forwards requests that match a rule."""
