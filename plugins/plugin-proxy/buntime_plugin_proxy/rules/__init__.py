"""Rules: what they are, how they are read, matched and kept."""
