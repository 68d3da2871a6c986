"""Who a request counts for."""

from __future__ import annotations

import pytest
from buntime_host.connections.edge import Edge
from buntime_host.http.clients import FORWARDED, client_of_request
from buntime_host.limits import EdgeLimits, _networks

EDGE = Edge(EdgeLimits(shared_networks=_networks(["127.0.0.0/8", "::1", "10.0.0.0/8", "fd00::/8"])))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", [], "198.51.100.1"),
        ("2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.1", [], "198.51.100.1"),
        # Only a trusted proxy is believed.
        ("198.51.100.1", ["203.0.113.1"], "198.51.100.1"),
        ("127.0.0.1", [], None),
        ("127.0.0.1", ["203.0.113.1"], "203.0.113.1"),
        ("10.1.2.3", ["2001:db8:1:2:3::4"], "2001:db8:1:2::/64"),
        # What a client says of itself comes before what its proxy says.
        ("127.0.0.1", ["192.0.2.9, 203.0.113.1"], "203.0.113.1"),
        ("127.0.0.1", ["192.0.2.9", "203.0.113.1"], "203.0.113.1"),
        ("127.0.0.1", ["192.0.2.9, 203.0.113.1 ,10.0.0.7, 127.0.0.1"], "203.0.113.1"),
        ("127.0.0.1", ["10.0.0.7, 127.0.0.1"], None),
        # Some proxies add the port.
        ("127.0.0.1", ["203.0.113.1:4711"], "203.0.113.1"),
        ("127.0.0.1", ["192.0.2.9:1, 203.0.113.1:4711, 10.0.0.7:80"], "203.0.113.1"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]:4711"], "2001:db8:1:2::/64"),
        ("127.0.0.1", ["[2001:db8:1:2:3::4]"], "2001:db8:1:2::/64"),
        ("127.0.0.1", [":4711"], None),
        ("127.0.0.1", ["203.0.113.1, unknown"], None),
        ("127.0.0.1", [""], None),
        (None, [], None),
        (None, ["203.0.113.1"], "203.0.113.1"),
    ],
)
def test_who_a_request_counts_for(
    peer: str | None, forwarded: list[str], client: str | None
) -> None:
    headers = [(b"host", b"a"), *((b"x-forwarded-for", text.encode()) for text in forwarded)]
    scope = {"client": None if peer is None else (peer, 1234), "headers": headers}
    assert client_of_request(scope, EDGE.client_of) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["for=203.0.113.1"], "203.0.113.1"),
        (["for=192.0.2.9, for=203.0.113.1;proto=https;by=10.0.0.1"], "203.0.113.1"),
        (["for=192.0.2.9", 'proto=http;For="203.0.113.1:4711"'], "203.0.113.1"),
        (['for="[2001:db8:1:2:3::4]:4711"'], "2001:db8:1:2::/64"),
        (['for=203.0.113.1, for="[fd00::1]"'], "203.0.113.1"),
        (["for=203.0.113.1, for=_hidden"], None),
        (["for=203.0.113.1, proto=http"], None),
        (["for=unknown"], None),
        ([""], None),
        ([], None),
    ],
)
def test_the_header_of_the_standard(forwarded: list[str], client: str | None) -> None:
    headers = [(b"forwarded", text.encode()) for text in forwarded]
    # What a client says in the header that its proxies do not write counts for nothing.
    headers.append((b"x-forwarded-for", b"192.0.2.66"))
    scope = {"client": ("127.0.0.1", 1234), "headers": headers}
    assert client_of_request(scope, EDGE.client_of, FORWARDED) == client
