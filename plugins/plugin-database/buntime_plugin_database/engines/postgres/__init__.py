"""The engine of PostgreSQL servers.

Import from its modules: those that need the driver are loaded only where a server is configured.
"""
