"""A reverse proxy as a plugin, with rules by which paths are forwarded to other servers."""
