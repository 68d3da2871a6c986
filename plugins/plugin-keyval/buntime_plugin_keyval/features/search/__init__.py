"""Full-text search: indexes over fields of the values below a prefix, and queries over them."""
