"""Where filters: parse one from JSON, run it in SQLite, or test one value in Python.

The way of a filter: `parse_where` checks and freezes it, `compile_where` says it in SQL with
every path and operand bound, `matches` decides for one decoded value what the SQL decides for a
row.
"""

from __future__ import annotations

from buntime_plugin_keyval.where.compile import Compiled, compile_where
from buntime_plugin_keyval.where.evaluate import matches
from buntime_plugin_keyval.where.nodes import InvalidWhere, Where, count_conditions
from buntime_plugin_keyval.where.parse import parse_where

__all__ = [
    "Compiled",
    "InvalidWhere",
    "Where",
    "compile_where",
    "count_conditions",
    "matches",
    "parse_where",
]
