"""The request of each operation, and the reading of its answer. No I/O."""
