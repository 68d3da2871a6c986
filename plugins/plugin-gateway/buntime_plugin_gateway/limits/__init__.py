"""Limits of requests by one client."""
