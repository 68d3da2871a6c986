"""The network interfaces, the JSON API and Hrana, and their common checks of a request."""
