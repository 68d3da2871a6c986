"""The engine of servers: libSQL over the network, a primary and its replicas."""

from buntime_plugin_database.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.libsql.servers import LibsqlOptions

__all__ = ["LibsqlAdapter", "LibsqlOptions"]
