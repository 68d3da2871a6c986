"""Values that are encrypted below chosen prefixes: see `storage/sealing.py`."""
