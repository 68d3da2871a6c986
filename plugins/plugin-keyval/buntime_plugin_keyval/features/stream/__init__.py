"""The stream: the change log, for clients that process changes in order."""
