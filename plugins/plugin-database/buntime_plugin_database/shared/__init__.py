"""What engines and the layers above them share: tenants, counts, and SQL as a text."""
