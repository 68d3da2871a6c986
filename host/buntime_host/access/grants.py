"""Grants: scopes and roles, compiled once into spans of resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from buntime_host.access.permissions import ALL, ROLES, Permissible
from buntime_host.access.spans import EVERYTHING, Spans
from buntime_host.errors import BadRequest


class Grant:
    """The permissions of a caller. Immutable."""

    __slots__ = ("_spans", "texts", "unlimited")

    def __init__(self, texts: Iterable[str], spans: Mapping[str, Spans] | None) -> None:
        """`spans` are the resources of each `<plugin>:<action>`; None permits everything."""
        self.texts = tuple(texts)
        """The scopes and roles that it was made of."""
        self.unlimited = spans is None
        self._spans = spans or {}

    def spans(self, scope: str) -> Spans | None:
        """The resources that `<plugin>:<action>` is permitted on; None without that permission."""
        return EVERYTHING if self.unlimited else self._spans.get(scope)

    def touches(self, plugin: str) -> bool:
        """Whether it permits anything of a plugin, by its short name."""
        return self.unlimited or any(scope.startswith(f"{plugin}:") for scope in self._spans)

    def has_all(self, other: Grant) -> bool:
        """Whether this grant permits all that `other` permits."""
        if self.unlimited:
            return True
        if other.unlimited:
            return False
        return all(
            (mine := self._spans.get(scope)) is not None and mine.has_all(spans)
            for scope, spans in other._spans.items()
        )


UNLIMITED = Grant((ALL,), None)
NOTHING = Grant((), {})


def compile_grant(
    texts: Iterable[str], permissions: Permissible, *, lenient: bool = False
) -> Grant:
    """The grant that scopes, such as `keyval:read:["users"]`, and names of roles make together.

    Raises `BadRequest` with the code `INVALID_PERMISSION` for a scope that means nothing; with
    `lenient` such a scope permits nothing, as when its plugin is not loaded any more.
    """
    texts = tuple(texts)
    prefixes: dict[str, list[bytes]] = {}
    for text in texts:
        for scope in ROLES.get(text, (text,)):
            if scope == ALL:
                return Grant(texts, None)
            try:
                found = permissions.spans_of(scope)
            except BadRequest:
                if not lenient:
                    raise
                continue
            for name, spans in found.items():
                prefixes.setdefault(name, []).extend(spans.prefixes)
    return Grant(texts, {name: Spans(of_name) for name, of_name in prefixes.items()})
