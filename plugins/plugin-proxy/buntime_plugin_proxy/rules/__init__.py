"""Rules: their form, and how they are read, matched and stored."""
