"""Facts about the SQL of a database that requests depend on, by the family of its engine."""

from buntime_plugin_database.faces.families.choice import family_of
from buntime_plugin_database.faces.families.family import Family

__all__ = ["Family", "family_of"]
