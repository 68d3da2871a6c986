"""Who a request counts for, where one client may have no more than its share of something."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

AddressClient = Callable[[str | None], str | None]
"""Who an address counts for; None for addresses that stand for many clients."""

FORWARDED = b"x-forwarded-for"


def client_of_request(scope: Mapping[str, Any], client_of: AddressClient) -> str | None:
    """The client of a request; None where nobody can be told apart.

    That is its address. Where this is one of `trustedProxies`, it is the last address of
    `X-Forwarded-For` that is none of them: whatever is before that, a client may have made up.
    """
    peer = scope.get("client")
    client = client_of(peer[0] if peer else None)
    if client is not None:
        return client
    for address in _forwarded(scope.get("headers", ())):
        try:
            known = str(ipaddress.ip_address(address))
        except ValueError:
            return None
        client = client_of(known)
        if client is not None:
            return client
    return None


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[str]:
    """The addresses that proxies have noted, the last one first."""
    noted = [value.decode("latin-1") for name, value in headers if name == FORWARDED]
    return [text.strip() for text in ",".join(noted).split(",")][::-1] if noted else []
