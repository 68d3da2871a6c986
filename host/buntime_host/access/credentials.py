"""The credential that a request carries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

KEY_HEADER = b"x-api-key"
TOKEN_HEADER = b"authorization"
COOKIE_HEADER = b"cookie"

HEADERS = frozenset({KEY_HEADER, TOKEN_HEADER, COOKIE_HEADER})
"""Headers that may hold a credential."""

SESSION_COOKIE = b"buntime_session"
TICKET = b"ticket="
"""Names of parameters of a query. Browsers' `EventSource` and `WebSocket` cannot set headers."""


class Credential(NamedTuple):
    """The one credential of a request that counts."""

    header: tuple[bytes, bytes]
    """Name and value of its header, by which it is recognised the next time."""
    token: bytes
    """The key, the token or the session; empty for a value that cannot be any of them."""
    is_session: bool = False


def key_credential(key: bytes) -> Credential:
    """The credential of a key by itself."""
    return Credential((KEY_HEADER, key), key.strip())


def credential_of(
    key: bytes | None, token: bytes | None, cookie: bytes | None
) -> Credential | None:
    """Return the first credential among the values of the three headers.

    None if the request has none. A cookie without a session is none.
    """
    if key is not None:
        return key_credential(key)
    if token is not None:
        scheme, _, rest = token.partition(b" ")
        said = rest.strip() if scheme.lower() == b"bearer" else b""
        return Credential((TOKEN_HEADER, token), said)
    if cookie is not None:
        for pair in cookie.split(b";"):
            name, _, value = pair.strip().partition(b"=")
            if name == SESSION_COOKIE:
                return Credential((COOKIE_HEADER, cookie), value, is_session=True)
    return None


def credential_in(headers: Iterable[tuple[bytes, bytes]]) -> Credential | None:
    """The same for a list of headers, with names in lower case; of repeated ones the last
    counts.
    """
    found = {name: value for name, value in headers if name in HEADERS}
    return credential_of(found.get(KEY_HEADER), found.get(TOKEN_HEADER), found.get(COOKIE_HEADER))


def without_ticket(query: bytes) -> tuple[bytes | None, bytes]:
    """Return the ticket of a query, None if there is none, and the rest of the query."""
    if TICKET not in query:
        return None, query
    parts = query.split(b"&")
    tickets = [part for part in parts if part.startswith(TICKET)]
    rest = b"&".join(part for part in parts if not part.startswith(TICKET))
    # Two of them count as none: it is unclear which one is meant.
    return (tickets[0][len(TICKET) :] if len(tickets) == 1 else b"") if tickets else None, rest
