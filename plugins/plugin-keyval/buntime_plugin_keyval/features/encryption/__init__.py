"""Encryption of values below chosen prefixes: see `storage/sealing.py`."""
