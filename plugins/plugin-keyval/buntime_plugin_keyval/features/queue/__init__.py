"""The queue: messages, leases, retries, dead letters, and delivery to listeners."""
