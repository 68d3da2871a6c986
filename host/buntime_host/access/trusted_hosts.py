"""The names that a host without credentials answers to.

A page from elsewhere can make its own name mean 127.0.0.1 (DNS rebinding). Its requests look as if
they came from the same origin, but their `Host` has that name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class TrustedHosts:
    """The names of this machine for itself, and configured ones."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """`names` are without ports; a name that begins with a dot stands for all names below
        it.
        """
        lowered = {name.strip().lower().strip("[]") for name in names}
        self._names = LOCAL_NAMES | {name for name in lowered if not name.startswith(".")}
        self._below = tuple(name for name in lowered if name.startswith("."))

    def trusts(self, host: bytes, server: str | None) -> bool:
        """Whether a `Host` header has one of these names.

        `server` is the address that the request came to, as the server says: where that is no
        address but a name, there is no socket, and the caller is in this process. A request without
        the header is not from a browser.
        """
        if not host:
            return True
        try:
            name = (urlsplit(f"//{host.decode('ascii')}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._names or name == server or name.endswith(self._below)


def is_loopback(address: str) -> bool:
    """Whether a socket that listens on this address, or name, is reached from this machine
    alone.
    """
    if address.lower() == "localhost":
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return parsed.is_loopback or (mapped is not None and mapped.is_loopback)


def is_exposed(server: str | None) -> bool:
    """Whether a request came to an address that other machines may reach."""
    if server is None:
        return False
    try:
        ipaddress.ip_address(server)
    except ValueError:
        return False  # a path of a socket, or a name: see `trusts`
    return not is_loopback(server)
