"""What clients do. Each kind of load records what it asked and what it was answered."""
