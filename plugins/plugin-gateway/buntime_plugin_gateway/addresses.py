"""The address of who asks, behind proxies too."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from buntime_host import DirectRequest

UNKNOWN = "unknown"
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for"})
"""In which proxies tell who asks; which one counts, the host knows."""
_MOST_KNOWN = 10_000


class Addresses:
    """Who a request counts for: its peer, or whom a trusted proxy has named last."""

    def __init__(self, client_of: Callable[[Mapping[str, Any]], str | None]) -> None:
        """`client_of` is that of the context: None for the address of a trusted proxy."""
        self._client_of = client_of
        self._known: dict[str, tuple[str, bool]] = {}
        """Peers as they are shown, and whether they are trusted proxies."""

    def of(self, request: DirectRequest) -> str:
        """The address, or the network of an IPv6 address; that of the proxy where it names none."""
        peer = request.client
        if peer is None:
            return self._client_of(request.peer) or UNKNOWN
        try:
            shown, is_proxy = self._known[peer[0]]
        except KeyError:
            shown, is_proxy = self._looked_up(peer)
        if is_proxy:
            for name, _ in request.headers:
                if name in _FORWARDED:
                    return self._client_of(request.peer) or shown
        return shown

    def _looked_up(self, peer: tuple[str, int]) -> tuple[str, bool]:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        client = self._client_of({"client": peer, "headers": ()})
        known = (_plain(peer[0]) if client is None else client, client is None)
        self._known[peer[0]] = known
        return known


def _plain(address: str) -> str:
    """An address as it is usually written."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address
