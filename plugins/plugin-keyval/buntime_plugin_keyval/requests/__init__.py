"""Requests: their declared shapes, what they ask for, and their answers."""
