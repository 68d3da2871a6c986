"""A reverse proxy as a plugin: rules say which paths go to which other server."""
