"""Buntime's database plugin: engines behind one adapter, handed to other plugins as a service."""
