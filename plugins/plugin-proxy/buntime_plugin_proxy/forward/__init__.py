"""What becomes of a request that a rule is for."""
