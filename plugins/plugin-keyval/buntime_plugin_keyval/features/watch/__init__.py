"""Watching keys and prefixes: commits push changes to the watchers."""
