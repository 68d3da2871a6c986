"""Limits, CORS, a cache and a request log for everything that a host serves, as a plugin."""
