"""Options: how they are written, described, read and checked."""
