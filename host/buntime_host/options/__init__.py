"""How options are written, described, read and checked."""
