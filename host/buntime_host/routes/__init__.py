"""The host's own routes, mounted like a plugin."""
