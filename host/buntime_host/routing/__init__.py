"""Routing: from a request to the application of a plugin."""
