"""What a request is: its declared shape, what it asks for, and what answers it."""
