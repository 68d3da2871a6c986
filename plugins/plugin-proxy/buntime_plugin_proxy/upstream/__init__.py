"""Connections to the servers that requests go to."""
