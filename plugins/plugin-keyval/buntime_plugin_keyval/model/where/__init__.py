"""Where filters: parse one from JSON, and test one value in Python.

`parse_where` checks and freezes a filter, `compile_where` of the storage makes a tree of it, and a
dialect prints that as SQL with all paths and operands bound. `matches` decides for one decoded
value what the SQL decides for a row.
"""

from buntime_plugin_keyval.model.where.evaluate import matches
from buntime_plugin_keyval.model.where.nodes import (
    InvalidWhere,
    OfPattern,
    OfType,
    Wanted,
    Where,
    count_conditions,
    wanted_of,
)
from buntime_plugin_keyval.model.where.parse import parse_where

__all__ = [
    "InvalidWhere",
    "OfPattern",
    "OfType",
    "Wanted",
    "Where",
    "count_conditions",
    "matches",
    "parse_where",
    "wanted_of",
]
