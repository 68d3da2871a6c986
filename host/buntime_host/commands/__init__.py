"""What the command `buntime` does beside serving."""
