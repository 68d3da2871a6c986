"""The service that other plugins get: databases by engine and tenant, opened once."""

from buntime_plugin_database.service.service import Databases, open_service

__all__ = ["Databases", "open_service"]
