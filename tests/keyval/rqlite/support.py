"""Stores on nodes of rqlite."""

from __future__ import annotations

from database.rqlite.support import wipe
from keyval.emptying import OBJECTS, statements_for_a_new_store
from support.rqlite import Rqlited


def empty(node: Rqlited) -> None:
    """Let the store on a node be as if it were new; whatever else it has is dropped."""
    statements = statements_for_a_new_store(str(name) for (name,) in node.rows(OBJECTS))
    if statements:
        node.run(*statements)
    else:
        wipe(node)
