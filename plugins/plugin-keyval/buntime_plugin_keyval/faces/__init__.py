"""The faces of the store: HTTP, and Python APIs for other plugins of the process."""
