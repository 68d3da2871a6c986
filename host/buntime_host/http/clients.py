"""The client that a request counts for, where one client may have no more than its share."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

AddressClient = Callable[[str | None], str | None]
"""The client that an address counts for; None for addresses that stand for many clients."""

FORWARDED_FOR = b"x-forwarded-for"
FORWARDED = b"forwarded"
"""The header of RFC 7239."""


def client_of_request(
    scope: Mapping[str, Any], client_of: AddressClient, header: bytes = FORWARDED_FOR
) -> str | None:
    """The client of a request; None where clients cannot be told apart.

    It is the address of the request. If that is one of `trustedProxies`, it is the last address of
    `header` that is none of them: a client may have made up anything before that. It may also have
    made up a whole header that the proxies do not write, which is why only one header counts.
    """
    peer = scope.get("client")
    client = client_of(peer[0] if peer else None)
    if client is not None:
        return client
    for address in _forwarded(scope.get("headers", ()), header):
        try:
            known = str(ipaddress.ip_address(address))
        except ValueError:
            return None
        client = client_of(known)
        if client is not None:
            return client
    return None


def _forwarded(headers: Iterable[tuple[bytes, bytes]], header: bytes) -> list[str]:
    """The addresses that proxies have noted, the last one first."""
    noted = [value.decode("latin-1") for name, value in headers if name == header]
    if not noted:
        return []
    parts = [text.strip() for text in ",".join(noted).split(",")][::-1]
    return [_for_of(part) if header == FORWARDED else _without_port(part) for part in parts]


def _for_of(element: str) -> str:
    """The address in an element of `Forwarded`, without its port; empty if it names none."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return _without_port(value.strip('"'))
    return ""


def _without_port(text: str) -> str:
    """The address in `1.2.3.4:567`, `[2001:db8::1]:567` or alone, as some proxies write it."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
