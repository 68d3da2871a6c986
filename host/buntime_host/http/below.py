"""Serving a host below a path: `basePath`, and prefixes that proxies have removed."""

from __future__ import annotations

import re

from starlette.types import Scope

from buntime_host.errors import BadRequest, NotFound
from buntime_host.http.clients import AddressClient

FORWARDED_PREFIX = b"x-forwarded-prefix"
TAKEN_AWAY = "taken_away"
"""In the state of a request: the prefix that a proxy says it has removed."""

_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)+")


def path_prefix(text: str) -> str | None:
    """A prefix as it is put before paths, `/store` or nothing; None for an invalid one."""
    prefix = text.strip().rstrip("/")
    return prefix if not prefix or _PATH.fullmatch(prefix) else None


class Below:
    """The prefix of the paths that a host serves."""

    def __init__(self, base_path: str = "", client_of: AddressClient | None = None) -> None:
        """`client_of` knows the proxies whose headers count; without it none count."""
        self.base_path = base_path
        self._raw_base = base_path.encode()
        self._client_of = client_of

    def rest_of(self, raw: bytes) -> bytes:
        """A path without the prefix; a path outside of it stays whole."""
        base = self._raw_base
        return raw.removeprefix(base) if raw.startswith(base + b"/") else raw

    def enter(self, scope: Scope, prefix: bytes | None) -> None:
        """Make `root_path` the prefix of the host's paths.

        `prefix` is the header of proxies. Raises `NotFound` for a path outside of the prefix and
        `BadRequest` if the header is no path.
        """
        if self.base_path:
            self._enter_base(scope)
        if prefix is not None and self._is_of_a_proxy(scope):
            taken = path_prefix(prefix.decode("latin-1"))
            if taken is None:
                raise BadRequest(
                    'The header X-Forwarded-Prefix is not a path such as "/store": a proxy sets it'
                    " to the prefix that it removes"
                )
            scope["root_path"] = taken + (scope.get("root_path") or "")
            scope["path"] = taken + scope["path"]
            if scope.get("raw_path") is not None:
                scope["raw_path"] = taken.encode() + scope["raw_path"]
            scope["state"][TAKEN_AWAY] = taken

    def _enter_base(self, scope: Scope) -> None:
        root = (scope.get("root_path") or "") + self.base_path
        raw: bytes | None = scope.get("raw_path")
        path = scope["path"].encode() if raw is None else raw
        # A percent-encoded spelling is something else: a plugin may cut it off by length.
        if path != root.encode() and not path.startswith(root.encode() + b"/"):
            raise NotFound(f"Not Found: everything here is below {self.base_path} (basePath)")
        scope["root_path"] = root

    def _is_of_a_proxy(self, scope: Scope) -> bool:
        peer = scope.get("client")
        return self._client_of is not None and self._client_of(peer[0] if peer else None) is None
