"""Tasks: named work that any runner may take, with results that are kept."""
