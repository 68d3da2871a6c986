"""Bringing data of older versions up to date."""
