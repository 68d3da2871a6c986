"""The store as bytes, for other plugins."""
