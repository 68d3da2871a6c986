"""The store over HTTP: decode the request, call the store, encode the answer."""
