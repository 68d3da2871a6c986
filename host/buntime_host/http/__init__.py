"""Requests and answers as the host and plugins see them, whichever way they come."""
