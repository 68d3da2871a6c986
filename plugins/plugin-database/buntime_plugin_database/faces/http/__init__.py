"""The JSON API: tables, rows, SQL with bound arguments, tenants and health."""
