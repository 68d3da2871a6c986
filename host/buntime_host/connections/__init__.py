"""Connections: from bytes to requests, and from answers to bytes."""
