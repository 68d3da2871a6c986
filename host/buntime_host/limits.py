"""Limits on what one client, and all clients together, may cost the host below its plugins."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

from buntime_host.http.clients import FORWARDED_FOR
from buntime_host.options.declared import OptionError
from buntime_host.options.settings import MAX_URL_BYTES, HostSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class EdgeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one process. Sizes are bytes, times seconds."""

    header_bytes: int = 64 * 1024
    """Names and values of the headers of one request, and of its trailers."""
    headers: int = 100
    url_bytes: int = MAX_URL_BYTES
    connections: int = 10_000
    connections_per_client: int = 1_000
    upload_bytes: int = 128 * 1024**2
    """Bytes of incomplete request bodies."""
    upload_bytes_per_client: int = 100 * 1024**2
    unsent_bytes: int = 128 * 1024**2
    """Bytes of answers that clients have not read yet."""
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
    forwarded_header: bytes = FORWARDED_FOR
    """The header in which these name the client."""


def read_limits(settings: HostSettings) -> EdgeLimits:
    """Return the limits of the settings. Raises `OptionError` that names the setting.

    The largest body that a plugin accepts has to fit into the budget of all bodies, so those limits
    are raised to it.
    """
    given, body_max = settings.limits, settings.body_size.max
    return EdgeLimits(
        header_bytes=given.max_header_bytes,
        headers=given.max_headers,
        url_bytes=min(given.max_url_bytes, MAX_URL_BYTES),
        connections=given.max_connections,
        connections_per_client=given.max_connections_per_client,
        upload_bytes=max(given.max_upload_bytes, body_max),
        upload_bytes_per_client=max(given.max_upload_bytes_per_client, body_max),
        unsent_bytes=given.max_unsent_bytes,
        unsent_bytes_per_client=given.max_unsent_bytes_per_client,
        header_timeout=settings.header_timeout,
        body_timeout=settings.body_timeout,
        keep_alive_timeout=settings.keep_alive_timeout,
        send_timeout=settings.send_timeout,
        shared_networks=_networks(settings.trusted_proxies),
        forwarded_header=settings.forwarded_header.encode(),
    )


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    networks = []
    for text in texts:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise OptionError(
                f'trustedProxies: must be addresses or networks such as "10.0.0.0/8", not {text!r}'
            ) from None
    return tuple(networks)
