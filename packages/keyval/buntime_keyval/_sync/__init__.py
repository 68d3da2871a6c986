"""The blocking client. All but `concurrency` and `connections` is made by `scripts/unasync`."""
