"""Which family a database is of."""

from __future__ import annotations

from buntime_database import Adapter

from buntime_plugin_database.faces.families.family import Family
from buntime_plugin_database.faces.families.postgres import POSTGRES
from buntime_plugin_database.faces.families.sqlite import SQLITE

_FAMILIES = {"postgres": POSTGRES}


def family_of(adapter: Adapter) -> Family:
    """The family of the adapter's dialect; SQLite's for an unknown dialect."""
    return _FAMILIES.get(adapter.capabilities.dialect, SQLITE)
