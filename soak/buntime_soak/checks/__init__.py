"""What must hold of a history. Each checker is a pure function of operations."""
