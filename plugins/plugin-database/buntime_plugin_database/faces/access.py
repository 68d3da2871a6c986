"""Who may use the API.

If there are tokens (option `token` or `apiKeys`, or the host's master key), owners of one may do
everything. Without tokens, only programs on this machine and pages that it serves itself are let
in, and they may write only if the option `api.write` says so.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from buntime_host import Forbidden, HttpError, Unauthorized, is_loopback, principal_of
from starlette.requests import HTTPConnection

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class Access:
    """Decides about each request."""

    def __init__(
        self,
        tokens: Iterable[str],
        *,
        write: bool,
        authorize: Callable[[HTTPConnection], None],
        recognise: Callable[[HTTPConnection, str], None] = lambda *_: None,
    ) -> None:
        """`authorize` and `recognise` are the host's, see `PluginContext`."""
        self._recognise = recognise
        self._digests = [_digest(token) for token in tokens]
        self._write = write
        self._authorize = authorize

    @property
    def needs_token(self) -> bool:
        """Whether a request must carry a token; otherwise where it comes from decides.

        The first key of a host changes that while it runs.
        """
        return bool(self._digests) or not self._host_accepts(None)

    def check(self, connection: HTTPConnection, *, write: bool) -> None:
        """Let the request pass, or raise `Unauthorized` or `Forbidden`.

        Senders that the host knows pass: their permissions are checked for each database.
        """
        if principal_of(connection.scope).id:
            return
        if self.needs_token:
            if not self.knows(token_of(connection)):
                raise Unauthorized(headers={"WWW-Authenticate": "Bearer"})
            return
        if not _is_local(connection):
            raise Forbidden(
                "Without a token only this machine may use the database API: configure token",
                code="LOCAL_ONLY",
            )
        if write and not self._write:
            raise Forbidden(
                'Writing is not allowed: configure a token, or "api": {"write": true}',
                code="WRITE_DISABLED",
            )

    def lets_in(self, connection: HTTPConnection, token: str) -> bool:
        """Whether a token that came by another way than a header is valid.

        Its owner is then the connection's principal.
        """
        if self._host_accepts(None):
            return self.knows(token)
        try:
            self._recognise(connection, token)
        except HttpError:
            return False
        return True

    def may_write(self, connection: HTTPConnection) -> bool:
        """Whether `check` would let a write pass."""
        try:
            self.check(connection, write=True)
        except HttpError:
            return False
        return True

    def knows(self, token: str | None) -> bool:
        """Whether this is one of the tokens, or the master key. Takes the same time for all."""
        if not token:
            return False
        given = _digest(token)
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        return any(matches) or (not self._host_accepts(None) and self._host_accepts(token))

    def _host_accepts(self, token: str | None) -> bool:
        """Whether the host lets a request with this token pass; without a master key all pass."""
        headers = [] if token is None else [(b"x-api-key", token.encode())]
        try:
            self._authorize(HTTPConnection({"type": "http", "headers": headers}))
        except HttpError:
            return False
        return True


def token_of(connection: HTTPConnection) -> str | None:
    """The Bearer token, or the X-API-Key header."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return connection.headers.get("x-api-key")


def _is_local(connection: HTTPConnection) -> bool:
    """Whether the sender is a program on this machine, by a name that only this machine has.

    The name matters because a page from elsewhere can make its own name mean 127.0.0.1. A proxy on
    this machine speaks for others, and usually says so.
    """
    if any(name in connection.headers for name in _FORWARDED):
        return False
    client = connection.client
    if client is None or not is_loopback(client.host):
        return False
    try:
        name = urlsplit(f"//{connection.headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    return name.endswith(".localhost") or is_loopback(name)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
