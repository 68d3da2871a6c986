"""What a request carries to say who sends it."""

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
"""Of a query. Browsers' `EventSource` and `WebSocket` cannot set headers."""


class Credential(NamedTuple):
    """The one credential of a request that counts."""

    header: tuple[bytes, bytes]
    """Name and value of its header, which is how it is known the next time."""
    token: bytes
    """The key, the token or the session; empty for what cannot be any of them."""
    is_session: bool = False


def key_credential(key: bytes) -> Credential:
    """That of a key by itself."""
    return Credential((KEY_HEADER, key), key.strip())


def credential_of(
    key: bytes | None, token: bytes | None, cookie: bytes | None
) -> Credential | None:
    """What counts of the values of the three headers: the first that is there.

    None if the request says nothing of who sends it. A cookie without a session says nothing.
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
    """The same of headers, their names in lower case; where one is repeated, the last counts."""
    found = {name: value for name, value in headers if name in HEADERS}
    return credential_of(found.get(KEY_HEADER), found.get(TOKEN_HEADER), found.get(COOKIE_HEADER))


def without_ticket(query: bytes) -> tuple[bytes | None, bytes]:
    """The ticket of a query, None if there is none, and what is left of the query."""
    if TICKET not in query:
        return None, query
    parts = query.split(b"&")
    tickets = [part for part in parts if part.startswith(TICKET)]
    rest = b"&".join(part for part in parts if not part.startswith(TICKET))
    # Two of them are as good as none: nobody can tell which one is meant.
    return (tickets[0][len(TICKET) :] if len(tickets) == 1 else b"") if tickets else None, rest
