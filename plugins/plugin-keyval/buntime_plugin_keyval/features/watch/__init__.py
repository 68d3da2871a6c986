"""Watching keys and prefixes: commits push changes to whoever waits for them."""
