"""The HTTP face of the plugin: who may do what, and the routes of the JSON API."""
