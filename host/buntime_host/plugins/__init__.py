"""Plugins: found, chosen, ordered, imported and asked, and what they are given."""
