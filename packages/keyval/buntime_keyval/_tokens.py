"""The token that requests carry, where a function of the user gives it. No I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from buntime_keyval._transport import OutgoingRequest
from buntime_keyval.wire import InvalidInput

AUTHORIZATION = "authorization"

TokenSource = Callable[[], str]
"""Gives the token that is valid now; asked before the first request, and after a 401."""
AsyncTokenSource = Callable[[], str | Awaitable[str]]
"""The same, or a coroutine function."""


def checked_token(token: object) -> str:
    """A token that a header may hold, as that header. Raises `InvalidInput`, without the token."""
    if not isinstance(token, str):
        raise InvalidInput(f"token must be a text, received one of type {type(token).__name__}")
    if not (token.isascii() and token.isprintable()):
        raise InvalidInput("token must be printable ASCII, in one line")
    return f"Bearer {token}".rstrip()


class GivenToken:
    """The last token that a function gave."""

    def __init__(self, source: AsyncTokenSource) -> None:
        self.source = source
        self._header: str | None = None

    def serves(self, refused: str | None) -> bool:
        """Whether there is a token, and it is not the one that was refused."""
        return self._header is not None and self._header != refused

    def take(self, token: object) -> None:
        """Keep the function's token. Raises `InvalidInput`."""
        self._header = checked_token(token)

    def sign(self, request: OutgoingRequest) -> OutgoingRequest:
        """The request with the token."""
        return request._replace(headers={**request.headers, AUTHORIZATION: self._header or ""})
