"""The service that other plugins get: databases by engine and tenant, opened once."""

from buntime_plugin_database.service.service import DatabaseService, open_service

__all__ = ["DatabaseService", "open_service"]
