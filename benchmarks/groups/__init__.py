"""The groups of cases. A further one is a module with a `GROUP`, and a line in `run.py`."""
