"""CORS: headers for pages of other origins.

One policy answers preflights and sets the headers of real answers, so that both agree.
Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from buntime_host import Answer, DirectRequest, OptionError
from buntime_host.http.cors import EXPOSED
from buntime_host.http.origin import origin_problem

from buntime_plugin_gateway.config import CorsConfig, listed

ANY = "*"
REQUEST_HEADERS = (
    "accept, authorization, cache-control, content-type, idempotency-key, if-match, if-none-match,"
    " last-event-id, x-api-key, x-request-id"
)
"""Headers that pages may always send to the host and its plugins."""
LIMIT_HEADERS = (
    "ratelimit-limit, ratelimit-remaining, ratelimit-reset, x-ratelimit-limit,"
    " x-ratelimit-remaining, x-ratelimit-reset"
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST_KNOWN = 1_000
_ASKED_METHOD = b"access-control-request-method"
_ASKED_HEADERS = b"access-control-request-headers"
_ASKED_NETWORK = b"access-control-request-private-network"

Header = tuple[bytes, bytes]


class CorsPolicy:
    """The origins whose pages may use the host, and what they may do."""

    def __init__(self, config: CorsConfig) -> None:
        """Raises `OptionError`."""
        origins = listed(config.origin)
        if not origins:
            raise OptionError('cors.origin: names no origin; "*" means all of them')
        self.config = config
        self.origins = origins
        self.credentials = config.credentials
        self.methods = tuple(method.upper() for method in _tokens(config.methods, "cors.methods"))
        self._is_open = ANY in origins
        if self._is_open and config.credentials:
            raise OptionError(
                'cors.credentials: cannot go with the origin "*", where any page could use the'
                " sessions of others; name the origins"
            )
        self._exact = frozenset(_origin(text) for text in origins if ANY not in text)
        self._patterns = [_pattern(text) for text in origins if ANY in text and text != ANY]
        exposed = [EXPOSED.decode(), LIMIT_HEADERS]
        exposed += _tokens(config.exposed_headers, "cors.exposedHeaders")
        self._exposed = ", ".join(exposed).encode()
        allowed = _tokens(config.allowed_headers, "cors.allowedHeaders")
        allowed += _tokens(config.headers, "cors.headers")
        self._allowed = ", ".join([REQUEST_HEADERS, *allowed]).encode() if allowed else None
        self._of_others = b"" if self._is_open else b"vary: origin\r\n"
        self._known: dict[bytes, bytes] = {}
        """Header lines of answers by origin."""

    def allows(self, origin: bytes) -> bool:
        """Whether pages of an origin may use the host."""
        if self._is_open:
            return True
        lowered = origin.lower()
        return lowered in self._exact or any(it.fullmatch(lowered) for it in self._patterns)

    def lines(self, origin: bytes | None) -> bytes:
        """The header lines of all answers to pages of an origin; it is None for other clients."""
        if self._is_open:
            origin = ANY.encode()
        elif origin is None:
            return self._of_others
        known = self._known.get(origin)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[origin] = self._lines(origin)
        return known

    def _lines(self, origin: bytes) -> bytes:
        if not self.allows(origin):
            return self._of_others
        lines = b"access-control-allow-origin: %b\r\n" % origin
        if self.credentials:
            lines += b"access-control-allow-credentials: true\r\n"
        lines += b"access-control-expose-headers: %b\r\n" % self._exposed
        return lines + self._of_others

    def preflight(self, request: DirectRequest) -> Answer | None:
        """The answer to a preflight; None for other requests. Other origins are allowed nothing."""
        asked: dict[bytes, bytes] = dict(request.headers)
        if not self.config.preflight or _ASKED_METHOD not in asked:
            return None
        origin = asked.get(b"origin")
        vary = [] if self._is_open else [b"origin"]
        headers: list[Header] = []
        if origin is not None and self.allows(origin):
            shown = ANY.encode() if self._is_open else origin
            headers.append((b"access-control-allow-origin", shown))
            if self.credentials:
                headers.append((b"access-control-allow-credentials", b"true"))
            if asked.get(_ASKED_NETWORK) == b"true":
                headers.append((b"access-control-allow-private-network", b"true"))
        headers.append((b"access-control-allow-methods", ", ".join(self.methods).encode()))
        allowed = self._allowed
        if allowed is None:
            vary.append(_ASKED_HEADERS)
            allowed = asked.get(_ASKED_HEADERS, REQUEST_HEADERS.encode())
        headers.append((b"access-control-allow-headers", allowed))
        headers.append((b"access-control-max-age", b"%d" % self.config.max_age))
        if vary:
            headers.append((b"vary", b", ".join(vary)))
        return Answer(204, b"", headers=tuple(headers))


def _tokens(value: str | Iterable[str], option_name: str) -> list[str]:
    tokens = listed(value if isinstance(value, str) else tuple(value))
    for token in tokens:
        if not _TOKEN.fullmatch(token):
            raise OptionError(f"{option_name}: {token!r} is not a name")
    return [*tokens]


def _origin(text: str) -> bytes:
    problem = None if text == "null" else origin_problem(text)
    if problem is not None:
        raise OptionError(f"cors.origin: {text!r} is not an origin: {problem}")
    return text.rstrip("/").lower().encode()


def _pattern(text: str) -> re.Pattern[bytes]:
    """A pattern of origins, where `*` stands for any number of labels."""
    scheme, separator, rest = text.rstrip("/").lower().partition("://*.")
    if not separator or ANY in scheme + rest or origin_problem(f"{scheme}://{rest}") is not None:
        raise OptionError(
            f"cors.origin: {text!r} is not an origin; * stands alone, or as in https://*.example.com"
        )
    return re.compile(rb"%b://[a-z0-9.-]+\.%b" % (scheme.encode(), re.escape(rest.encode())))
