"""Translates a query into the form of an index's functions: the same tree, as JSON.

A term is `{"text", "prefix", "field"}`; what joins several is `{"all": []}`, `{"any": []}` or
`{"but": []}`, of which the first is wanted and the others are not. The server makes words of the
texts, as it did of those that are in the index.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from buntime_plugin_keyval.storage.dialects.search import Match
from buntime_plugin_keyval.storage.queries import AllOf, AnyOf, Query, Term
from buntime_plugin_keyval.storage.sought import Sought

_Json: TypeAlias = dict[str, Any]


def to_match(query: Query, tokenize: str) -> Match:
    """See `SearchSql.match`. The expression has the tree, and by themselves the wanted terms."""
    sought = Sought(tokenize)
    tree = _tree(query, sought)
    if tree is None:
        return Match(None, sought.warnings())
    expression = {"match": tree, "terms": {"any": list(_terms(tree))}}
    return Match(msgspec.json.encode(expression).decode(), sought.warnings())


def _tree(query: Query, sought: Sought) -> _Json | None:
    """None for a query without anything to look for."""
    if isinstance(query, Term):
        if not sought.can_find(query.text):
            return None
        return {"text": query.text, "prefix": query.is_prefix, "field": query.field}
    if isinstance(query, AnyOf):
        return _joined("any", [_tree(part, sought) for part in query.parts])
    if isinstance(query, AllOf):
        return _joined("all", [_tree(part, sought) for part in query.parts])
    wanted = _tree(query.wanted, sought)
    unwanted = [_tree(part, sought) for part in query.unwanted]
    return None if wanted is None else _joined("but", [wanted, *unwanted])


def _joined(name: str, parts: list[_Json | None]) -> _Json | None:
    known = [part for part in parts if part is not None]
    if len(known) < 2:
        return known[0] if known else None
    return {name: known}


def _terms(tree: _Json) -> Iterator[_Json]:
    """The terms that an entry may be found by."""
    if "text" in tree:
        yield tree
        return
    ((name, parts),) = tree.items()
    for part in parts[:1] if name == "but" else parts:
        yield from _terms(part)
