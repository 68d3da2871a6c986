"""Plugins: found, chosen, ordered, imported and called, and the objects that they are given."""
