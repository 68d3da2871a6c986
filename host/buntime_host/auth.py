"""The master key: who has it may use the host's own API."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from starlette.requests import HTTPConnection

from buntime_host.errors import Unauthorized


class MasterKey:
    """Checks credentials; without a configured key everyone is let in."""

    def __init__(self, key: str | None) -> None:
        self._digest = _digest(key.encode()) if key else None

    @property
    def configured(self) -> bool:
        """Whether there is a key at all."""
        return self._digest is not None

    def matches(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether the headers carry the key, as `X-API-Key` or else as a Bearer token."""
        if self._digest is None:
            return False
        found = {name: value for name, value in headers if name in (b"x-api-key", b"authorization")}
        given = found.get(b"x-api-key")
        if given is None:
            scheme, _, token = found.get(b"authorization", b"").partition(b" ")
            given = token if scheme.lower() == b"bearer" else b""
        # Digests have one length, so the comparison tells nothing about the key's length either.
        return hmac.compare_digest(_digest(given.strip()), self._digest)

    def authorize(self, connection: HTTPConnection) -> None:
        """Raise `Unauthorized` if there is a key and the request does not have it."""
        if self._digest is not None and not self.matches(connection.scope["headers"]):
            raise Unauthorized(headers={"WWW-Authenticate": "Bearer"})


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
