"""From a request to the application of a plugin."""
