"""Named work that is run by whoever can, and whose result is kept."""
