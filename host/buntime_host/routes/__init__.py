"""What the host answers by itself, mounted like a plugin."""
