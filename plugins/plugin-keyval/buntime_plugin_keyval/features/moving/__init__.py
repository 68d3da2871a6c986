"""Moving a store to another database while it is in use."""
