"""Lists over several pages that show one state of the store."""
