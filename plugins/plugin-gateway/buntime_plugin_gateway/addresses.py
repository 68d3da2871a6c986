"""The address of a request's client, also behind proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from buntime_host import DirectRequest

UNKNOWN = "unknown"
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for"})
"""Headers in which proxies name the client; the host decides which one counts."""
_MOST_KNOWN = 10_000


class Addresses:
    """The addresses that requests count against: the peer's, or one named by a trusted proxy."""

    def __init__(self, client_of: Callable[[Mapping[str, Any]], str | None]) -> None:
        """`client_of` is that of the context; None from it means a trusted proxy's address."""
        self._client_of = client_of
        self._clients: dict[str, str] = {}
        """Peers that are not trusted proxies, and how they are shown."""
        self._proxies: dict[str, str] = {}
        """Peers that are trusted proxies."""

    def of(self, request: DirectRequest) -> str:
        """The address, or the network of an IPv6 address; the proxy's if it names no client."""
        peer = request.client
        if peer is None:
            return self._client_of(request.peer) or UNKNOWN
        host = peer[0]
        shown = self._clients.get(host)
        if shown is not None:
            return shown
        proxy = self._proxies.get(host)
        if proxy is None:
            return self._look_up(request, peer)
        for name, _ in request.headers:
            if name in _FORWARDED:
                return self._client_of(request.peer) or proxy
        return proxy

    def _look_up(self, request: DirectRequest, peer: tuple[str, int]) -> str:
        for known in (self._clients, self._proxies):
            if len(known) >= _MOST_KNOWN:
                known.clear()
        client = self._client_of({"client": peer, "headers": ()})
        if client is None:
            self._proxies[peer[0]] = _plain(peer[0])
        else:
            self._clients[peer[0]] = client
        return self.of(request)


def _plain(address: str) -> str:
    """An address in its usual form."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
