"""CORS: headers that let a page of a trusted origin read an answer.

`trustedOrigins` says whose pages may write. A browser asks first (a preflight), and hides every
answer that does not name the page's origin, errors and event streams included.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

from collections.abc import Iterable, Set

Header = tuple[bytes, bytes]

PREFLIGHT_SECONDS = 600
"""How long a browser remembers a preflight; its methods and headers are the page's own."""

EXPOSED = (
    b"content-length, content-range, etag, location, retry-after, x-request-id, x-cache,"
    b" x-buntime-position, x-buntime-warnings, x-buntime-searched-for, idempotent-replayed"
)
"""Headers of answers that scripts may read besides those that are always readable."""

VARY: Header = (b"vary", b"origin")
"""On every answer, also to pages of other origins, so that no cache mixes them up."""

ORIGIN_HEADERS = frozenset(
    {
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
        b"access-control-expose-headers",
    }
)
"""The headers about origins of answers that are no preflights."""
_REQUESTED = {
    b"access-control-request-method": b"access-control-allow-methods",
    b"access-control-request-headers": b"access-control-allow-headers",
}
_PRIVATE_NETWORK = b"access-control-request-private-network"


def answer_headers(origin: bytes, *, credentials: bool = True) -> list[Header]:
    """What every answer to a page of a trusted origin carries.

    `credentials` says whether the page may read answers to requests with its cookies.
    """
    return [
        (b"access-control-allow-origin", origin),
        *([(b"access-control-allow-credentials", b"true")] if credentials else ()),
        (b"access-control-expose-headers", EXPOSED),
        VARY,
    ]


def with_answer_headers(headers: Iterable[Header], own: Iterable[Header]) -> list[Header]:
    """The headers of an answer with `own` ones in place of the plugin's headers about origins."""
    return without_answer_headers(headers) + list(own)


def without_answer_headers(headers: Iterable[Header]) -> list[Header]:
    """The headers of an answer without the plugin's headers about origins."""
    return without(headers, ORIGIN_HEADERS)


def without(headers: Iterable[Header], names: Set[bytes]) -> list[Header]:
    """The headers without those that have such names."""
    return [header for header in headers if header[0] not in names]


def preflight_headers(origin: bytes, request: Iterable[Header]) -> list[Header] | None:
    """The answer to a preflight of a trusted origin; None if the request is not one.

    Everything that the page asks for is allowed: the origin is trusted, and each route decides for
    itself which methods it has.
    """
    allowed = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-max-age", b"%d" % PREFLIGHT_SECONDS),
        (b"vary", b"origin, access-control-request-method, access-control-request-headers"),
    ]
    asks = False
    for name, value in request:
        if name in _REQUESTED:
            asks = asks or name == b"access-control-request-method"
            allowed.append((_REQUESTED[name], value))
        elif name == _PRIVATE_NETWORK and value == b"true":
            allowed.append((b"access-control-allow-private-network", b"true"))
    return allowed if asks else None
