"""From bytes of a connection to requests, and back."""
