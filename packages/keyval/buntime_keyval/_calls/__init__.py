"""What each operation sends, and how its answer is read. No I/O."""
