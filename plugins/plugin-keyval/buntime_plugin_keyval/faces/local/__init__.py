"""The store for other plugins of the same process."""
