"""Checks of the servers that rules may lead to, by name and address.

Addresses are checked after names were resolved, and connections are made to the checked address, so
that a name that resolves differently a moment later makes no difference.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from buntime_plugin_proxy.upstream.errors import TargetRefused

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = (
    ipaddress.ip_network("169.254.0.0/16"),
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("fd00:ec2::254/128"),
    ipaddress.ip_network("fd00:42::42/128"),
    ipaddress.ip_network("fd20:ce::254/128"),
    ipaddress.ip_network("100.100.100.200/32"),
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("192.0.0.192/32"),
)
"""The address where clouds give machines their secrets; nothing else is there."""
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::ffff:0:0:0/96"))
"""Prefixes by which networks without IPv4 reach it in the last 32 bits (RFC 6052, 7915)."""
_TRANSLATED_HERE = ipaddress.IPv6Network("64:ff9b:1::/48")
"""The same for local use (RFC 8215), with prefixes of any length."""
_PLACES_OF_IPV4 = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))
"""The bytes of the IPv4 address in it, after prefixes of 48, 56, 64 and 96 bits."""
_NOT_PUBLIC = (
    _TRANSLATED_HERE,
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("3fff::/20"),
    ipaddress.ip_network("5f00::/16"),
)
"""Networks that are not global by the registries, but are for some versions of Python."""


class TargetGuard:
    """The rules of `allowTargets` and `denyPrivate`."""

    def __init__(self, allow: Iterable[str] = (), *, deny_private: bool = False) -> None:
        """Raises `ValueError` for an entry that is neither a host nor a network."""
        self._networks: list[Network] = []
        self._names: list[tuple[str, int | None]] = []
        self._deny_private = deny_private
        for entry in allow:
            if not self._add_network(entry):
                self._add_name(entry)
        self._allows_all = not self._networks and not self._names

    def _add_network(self, entry: str) -> bool:
        try:
            self._networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            return False
        return True

    def _add_name(self, entry: str) -> None:
        name, colon, port = entry.rpartition(":")
        if not colon:
            name, port = entry, ""
        if not name.strip("*.") or "/" in name or (colon and not port.isdecimal()):
            raise ValueError(
                f"allowTargets: {entry!r} has to be a host, such as app.internal:3000 or"
                " *.example.com, or a network such as 10.1.0.0/16"
            )
        self._names.append((name.strip("[]").lower(), int(port) if port else None))

    def allows_name(self, host: str, port: int) -> bool:
        """Whether a host is allowed by its name alone."""
        return self._allows_all or any(
            (wanted is None or wanted == port)
            and (host == name or (name.startswith("*.") and host.endswith(name[1:])))
            for name, wanted in self._names
        )

    def check_host(self, host: str, port: int) -> None:
        """Raise `TargetRefused` for a host that is not allowed whatever it resolves to."""
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            if not self._networks and not self.allows_name(host.lower(), port):
                raise TargetRefused from None
        else:
            self.check(host, port, [address])

    def check(self, host: str, port: int, addresses: Iterable[str]) -> None:
        """Raise `TargetRefused` unless all addresses of a host are allowed."""
        by_name = self.allows_name(host.lower(), port)
        for text in addresses:
            address = _plain(ipaddress.ip_address(text.partition("%")[0]))
            if any(address in network for network in self._networks):
                continue
            if not by_name or _is_in(_METADATA, address, *_translated_here(address)):
                raise TargetRefused
            if self._deny_private and (not address.is_global or _is_in(_NOT_PUBLIC, address)):
                raise TargetRefused


def _plain(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        if _is_in(_TRANSLATED, address):
            return ipaddress.IPv4Address(address.packed[-4:])
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _translated_here(address: Address) -> list[Address]:
    """All IPv4 addresses that an address for local translation may stand for."""
    if address not in _TRANSLATED_HERE:
        return []
    packed = address.packed
    return [
        ipaddress.IPv4Address(bytes(packed[place] for place in places))
        for places in _PLACES_OF_IPV4
    ]


def _is_in(networks: Iterable[Network], *addresses: Address) -> bool:
    return any(address in network for network in networks for address in addresses)
