"""What one client, and all clients together, may cost the host before a plugin sees anything."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from buntime_host.units import parse_duration, parse_size

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_BYTES = 65_535
"""The parser of URLs counts with 16 bits."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one process. Sizes are bytes, times seconds."""

    header_bytes: int = 64 * 1024
    """Names and values of the headers of one request, and of its trailers."""
    headers: int = 100
    url_bytes: int = MAX_URL_BYTES
    connections: int = 10_000
    connections_per_client: int = 1_000
    upload_bytes: int = 128 * 1024**2
    """Bytes of request bodies that have begun to arrive and are not complete."""
    upload_bytes_per_client: int = 100 * 1024**2
    unsent_bytes: int = 128 * 1024**2
    """Bytes of answers that clients have not taken yet."""
    unsent_bytes_per_client: int = 64 * 1024**2
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    keep_alive_timeout: float = 60.0
    send_timeout: float = 30.0
    shared_networks: tuple[Network, ...] = (
        ipaddress.IPv4Network("127.0.0.0/8"),
        ipaddress.IPv6Network("::1/128"),
    )
    """Addresses that stand for many clients: no limit for one client applies to them."""


def read_limits(values: Mapping[str, Any], *, body_max: int) -> Limits:
    """The limits among the host's checked settings. Raises `ValueError` that names the setting.

    A body that a plugin may take has to fit into what all bodies together may hold, so those
    limits are raised to `body_max`.
    """
    given = values["limits"]
    for name in ("maxHeaders", "maxConnections", "maxConnectionsPerClient"):
        if given[name] != int(given[name]):
            raise ValueError(f"limits.{name}: must be a whole number, not {given[name]!r}")
    return Limits(
        header_bytes=parse_size(given["maxHeaderBytes"]),
        headers=int(given["maxHeaders"]),
        url_bytes=min(parse_size(given["maxUrlBytes"]), MAX_URL_BYTES),
        connections=int(given["maxConnections"]),
        connections_per_client=int(given["maxConnectionsPerClient"]),
        upload_bytes=max(parse_size(given["maxUploadBytes"]), body_max),
        upload_bytes_per_client=max(parse_size(given["maxUploadBytesPerClient"]), body_max),
        unsent_bytes=parse_size(given["maxUnsentBytes"]),
        unsent_bytes_per_client=parse_size(given["maxUnsentBytesPerClient"]),
        header_timeout=parse_duration(values["headerTimeout"]),
        body_timeout=parse_duration(values["bodyTimeout"]),
        keep_alive_timeout=parse_duration(values["keepAliveTimeout"]),
        send_timeout=parse_duration(values["sendTimeout"]),
        shared_networks=_networks(values["trustedProxies"]),
    )


def _networks(texts: Sequence[object]) -> tuple[Network, ...]:
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(str(text), strict=False))
        except ValueError:
            raise ValueError(
                f'trustedProxies: must be addresses or networks such as "10.0.0.0/8", not {text!r}'
            ) from None
    return tuple(networks)
