"""A page that leads to the pages of plugins: its files, and which paths are not its own."""
