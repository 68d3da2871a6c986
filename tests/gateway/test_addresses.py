"""Who a request counts for."""

from __future__ import annotations

from functools import partial

import pytest
from buntime_host.connections.edge import Edge
from buntime_host.http.clients import client_of_request
from buntime_host.limits import EdgeLimits, _networks
from buntime_plugin_gateway.addresses import Addresses
from gateway.conftest import request_of

EDGE = Edge(EdgeLimits(shared_networks=_networks(["127.0.0.0/8", "::1", "10.0.0.0/8"])))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.7, 198.51.100.1, 10.0.0.3", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.7, nonsense", "127.0.0.1"),
        ("127.0.0.1", "10.1.1.1", "127.0.0.1"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64"),
        (None, None, "unknown"),
    ],
)
def test_addresses(peer: str | None, forwarded: str | None, address: str) -> None:
    addresses = Addresses(partial(client_of_request, client_of=EDGE.client_of))
    headers = [] if forwarded is None else [("x-forwarded-for", forwarded)]
    for _ in range(2):
        assert addresses.of(request_of("/", *headers, peer=peer)) == address
