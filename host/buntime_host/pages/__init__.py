"""The files of pages: those that are shared, and how browsers get them."""
