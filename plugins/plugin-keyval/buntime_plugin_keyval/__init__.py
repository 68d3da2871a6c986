"""The KeyVal plugin: a key-value store with queues, watches and search."""
