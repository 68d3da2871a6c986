"""The files of pages: the shared ones, and how browsers get them."""
