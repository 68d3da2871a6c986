"""What callers see: HTTP, and the store for other plugins of the process."""
