"""The engine: one way to read and one to write, decisions in Python, guarded batches in the
database.
"""
