"""Shared by engines and the layers above them: tenants, counters, and analysis of SQL texts."""
