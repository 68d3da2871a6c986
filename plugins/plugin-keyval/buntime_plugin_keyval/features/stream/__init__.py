"""The stream: the change log, for whoever reacts to changes in their order."""
