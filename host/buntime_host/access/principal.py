"""The sender of a request, and its permissions.

Endpoints find it in `request.state.principal` (Starlette), `principal_of(scope)` (ASGI) and
`DirectRequest.principal`. They ask it before they read anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from buntime_host.access.grants import UNLIMITED, Grant
from buntime_host.access.permissions import HOST
from buntime_host.errors import PermissionDenied

STATE = "principal"
"""Its name in the state of a request."""


class Life:
    """Whether a credential is still valid, and whom to tell when it no longer is."""

    __slots__ = ("_told", "over")

    def __init__(self) -> None:
        self.over = False
        self._told: dict[object, Callable[[], None]] = {}

    def when_over(self, tell: Callable[[], None]) -> Callable[[], None]:
        """Have `tell` called once it is over, at once if it is already; return how to cancel that.

        It is called on the event loop, and must neither raise nor take long.
        """
        if self.over:
            tell()
            return _nothing
        entry = object()
        self._told[entry] = tell

        def take_back() -> None:
            self._told.pop(entry, None)

        return take_back

    def end(self) -> None:
        """End it: the credential was revoked, has expired, or has other permissions now."""
        if not self.over:
            self.over = True
            told, self._told = self._told, {}
            for tell in told.values():
                tell()


class Principal:
    """The sender of a request. All requests with one credential have the same object."""

    __slots__ = ("__weakref__", "_spans", "grant", "id", "life", "limits", "name", "unlimited")

    def __init__(
        self, id: str, name: str, grant: Grant, *, limits: Mapping[str, Any] | None = None
    ) -> None:
        self.id = id
        """Public: the id of the key, or a word in brackets. Empty if no credential was asked for.
        """
        self.name = name
        self.grant = grant
        self.unlimited = grant.unlimited
        """Whether it may do everything, which is the first thing to ask."""
        self.limits: Mapping[str, Any] = limits or {}
        """How much it may use, by the short name of the plugin that these limits belong to."""
        self.life = Life()
        """Streams end when this does."""

    def allows(self, scope: str, resource: bytes | str | None = None) -> bool:
        """Whether it may do `<plugin>:<action>` on a resource, or without one on all of them.

        A resource is bytes as the plugin's `Action.resource` makes them; text is taken as UTF-8.
        """
        if self.unlimited:
            return True
        spans = self.grant.spans(scope)
        if spans is None:
            return False
        if resource is None:
            return spans.everything
        return spans.has(resource.encode() if isinstance(resource, str) else resource)

    def allows_range(self, scope: str, start: bytes, end: bytes) -> bool:
        """The same for all resources from `start` on, and before `end`."""
        if self.unlimited:
            return True
        spans = self.grant.spans(scope)
        return spans is not None and spans.has_range(start, end)

    def require(
        self, scope: str, resource: bytes | str | None = None, *, named: str | None = None
    ) -> None:
        """Raise `PermissionDenied` that names the missing scope, unless `allows`.

        `named` is the resource as a grant would write it, where `resource` is not text anyway.
        """
        if not self.allows(scope, resource):
            if named is None and isinstance(resource, str):
                named = resource
            raise denied(scope, named)


def denied(scope: str, resource: str | None = None) -> PermissionDenied:
    """The error about a missing scope. It does not reveal what exists."""
    scope = scope.removeprefix(f"{HOST}:")
    return PermissionDenied(f"Missing permission: {scope}{f':{resource}' if resource else ''}")


EVERYONE = Principal("", "everyone", UNLIMITED)
"""Callers of an open host, and plugins in process: may do everything."""


def principal_of(scope: Mapping[str, Any]) -> Principal:
    """Return the sender of the request with this ASGI scope.

    `EVERYONE` where no host has looked, as when an application is mounted elsewhere.
    """
    state = scope.get("state")
    found: Principal = EVERYONE if state is None else state.get(STATE, EVERYONE)
    return found


def _nothing() -> None:
    """Cancels nothing."""
