"""Headers of requests and answers on their way: those of one connection stay with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from buntime_host.access.credentials import COOKIE_HEADER, KEY_HEADER, SESSION_COOKIE, TOKEN_HEADER

from buntime_plugin_proxy.forward.passage import Passage
from buntime_plugin_proxy.rules.table import ReadyRule
from buntime_plugin_proxy.upstream.connection import Head
from buntime_plugin_proxy.upstream.known_heads import Headers

HOP = b"x-buntime-hop"
"""Counts the proxies of this kind that a request has passed."""

OF_THE_CONNECTION = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"trailers",
        b"transfer-encoding",
        b"upgrade",
    }
)
_OF_THE_HOST = frozenset(
    {b"x-base", b"x-buntime-internal", b"x-identity", b"x-not-found", b"x-vhost-tenant"}
)
_FORWARDED_AS_SAID = frozenset(
    {
        b"x-forwarded-port",
        b"x-forwarded-prefix",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-forwarded-ssl",
    }
)
"""Further headers that targets believe, and that only a trusted proxy may set."""
_FORWARDED = _FORWARDED_AS_SAID | frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"}
)
_NEEDED = frozenset({b"authorization", b"cookie", b"host", b"content-type", b"x-forwarded-for"})
"""Headers that clients may not have removed by naming them in `Connection`."""
_NONE: frozenset[bytes] = frozenset()
_AUTHORITY = re.compile(r"(?:(https?):)?//([^/?#]*)", re.IGNORECASE)
_PORTS = (("http", ":80"), ("https", ":443"))
_USUAL = ([b"keep-alive"], [b"close"])
MOST_DIGITS = 4
NO_CONTENT = 204
_NOT_SENT = (
    OF_THE_CONNECTION | _OF_THE_HOST | _FORWARDED | {b"content-length", b"expect", b"host", HOP}
)
_LOCATIONS = frozenset({b"location", b"content-location"})
_NOT_ANSWERED = OF_THE_CONNECTION | {b"date"}
_HANDSHAKE = frozenset(
    {
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    }
)


class Sender:
    """The sender of a request, for the target."""

    def __init__(self, client_of: Callable[[dict[str, Any]], str | None]) -> None:
        """`client_of` is that of the context: None for the address of a trusted proxy."""
        self._client_of = client_of
        self._trusted: dict[str, bool] = {}

    def _is_proxy(self, address: str) -> bool:
        known = self._trusted.get(address)
        if known is None:
            if len(self._trusted) > 10_000:
                self._trusted.clear()
            known = self._client_of({"client": (address, 0), "headers": ()}) is None
            self._trusted[address] = known
        return known

    def told(self, scope: Any, given: Headers, host: bytes) -> Headers:
        """`X-Forwarded-*` and `X-Real-IP`; earlier ones count if a trusted proxy sent them."""
        client = scope.get("client")
        peer: str = client[0] if client else "unknown"
        name, proto, chain, real = host, scope["scheme"].encode(), peer, peer
        proto = b"https" if proto in (b"https", b"wss") else b"http"
        passed: Headers = []
        if given and self._is_proxy(peer):
            said = dict(given)
            before = [
                part.strip()
                for key, value in given
                if key == b"x-forwarded-for"
                for part in value.decode("latin-1").split(",")
            ]
            if before:
                chain = ", ".join([*before, peer])
                real = next((it for it in reversed(before) if not self._is_proxy(it)), before[0])
            name = said.get(b"x-forwarded-host", name)
            proto = said.get(b"x-forwarded-proto", proto)
            passed = [pair for pair in given if pair[0] in _FORWARDED_AS_SAID]
        return [
            (b"x-forwarded-for", chain.encode("latin-1")),
            (b"x-forwarded-host", name),
            (b"x-forwarded-proto", proto),
            (b"x-real-ip", real.encode("latin-1")),
            *passed,
        ]


def request_headers(scope: Any, passage: Passage, sender: Sender) -> Headers:
    """The headers for a target, without those that frame the body."""
    ready = passage.match.ready
    named = named_by_connection(scope["headers"])
    is_socket = scope["type"] == "websocket"
    changes_origin = ready.rule.change_origin
    host = b""
    kept: Headers = []
    forwarded: Headers = []
    for pair in scope["headers"]:
        name = pair[0]
        if name in _NOT_SENT:
            if name == b"host":
                host = pair[1]
            elif name in _FORWARDED:
                forwarded.append(pair)
        elif (
            name in named
            # A target that turns headers into variables would take it for one of these.
            or (b"_" in name and name.replace(b"_", b"-") in _NOT_SENT)
            or (name == b"origin" and changes_origin)
            or (is_socket and name in _HANDSHAKE)
        ):
            continue
        elif name == COOKIE_HEADER and SESSION_COOKIE in pair[1]:
            kept += _without_session(pair[1])
        else:
            kept.append(pair)
    if passage.is_known:
        kept = _without_credential(kept)
    if changes_origin:
        kept.append((b"origin", ready.origin_header))
    kept += sender.told(scope, forwarded, host)
    kept.append((HOP, b"%d" % (passage.hops + 1)))
    if ready.set_names:
        kept = [pair for pair in kept if pair[0] not in ready.set_names]
        kept += ready.headers
    if b"host" not in ready.set_names:
        kept.insert(0, (b"host", ready.authority if changes_origin or not host else host))
    return kept


def response_headers(
    answer: Head, ready: ReadyRule, root: str = "", names: Callable[[], Iterable[bytes]] = tuple
) -> Headers:
    """The headers of an answer, for its client.

    The host sets the date of all answers. `root` is the prefix of all paths of the host for that
    client, `names` are the names by which the target was asked.
    """
    named = named_by_connection(answer.headers)
    kept = []
    for pair in answer.headers:
        name, value = pair
        if name in _NOT_ANSWERED or name in named:
            continue
        if name == b"content-length" and answer.status == NO_CONTENT:
            continue  # the answer has no body, even if the target declares one
        if name in _LOCATIONS:
            pair = (name, _own_location(value, ready, root, names))
        kept.append(pair)
    return kept


def names_told(passage: Passage, sender: Sender) -> set[bytes]:
    """The names of this host that a target was told."""
    told = request_headers(passage.scope, passage, sender)
    return {value.lower() for name, value in told if name in (b"host", b"x-forwarded-host")}


def says_where(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an answer has a header with a location that may name a host."""
    return any(name in _LOCATIONS and b"//" in value for name, value in headers)


def named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that `Connection` names as being of this connection only."""
    names = [value for name, value in headers if name == b"connection"]
    if not names or names in _USUAL:
        return _NONE
    found = {part.strip().lower() for value in names for part in value.split(b",")}
    return frozenset(found - _NEEDED)


def hops_of(scope: Any) -> int | None:
    """The number of proxies of this kind on a request's way; None for an invalid one."""
    for name, value in scope["headers"]:
        if name == HOP:
            return int(value) if value.isdigit() and len(value) < MOST_DIGITS else None
    return 0


def _own_location(
    location: bytes, ready: ReadyRule, root: str, names: Callable[[], Iterable[bytes]]
) -> bytes:
    """A redirect for the client: an address at the target becomes one here."""
    text = location.decode("latin-1")
    base = (ready.rule.base or "").rstrip("/")
    rest = _at_target(text, ready.origin_header.decode("latin-1"), ready.origin.port)
    here = ""
    if rest is None:
        here, rest = _at_this_host(text, names)
    is_as_seen = base or (here and root)
    if rest is None or (is_as_seen and (here or rest is text) and _is_below(rest, is_as_seen)):
        return location  # of another host, or of a target that knows its public address
    made = (base or root) + _path_at(rest, ready)
    return (here + made).encode("latin-1")


def _path_at(rest: str, ready: ReadyRule) -> str:
    """A path at a target as a path here, without the prefix of all its paths."""
    prefix = ready.prefix.decode("latin-1")
    if prefix and _is_below(rest, prefix):
        rest = rest[len(prefix) :]
    return "/" + rest.lstrip("/")


def _at_this_host(location: str, names: Callable[[], Iterable[bytes]]) -> tuple[str, str | None]:
    """The prefix of this host in an address, and the path; None for another host.

    The prefix stays: a target that redirects to https redirects to this host's.
    """
    found = _AUTHORITY.match(location)
    if found is None:
        return "", None
    scheme, authority = (found[1] or "").lower(), found[2].lower()
    ports = [port for begin, port in _PORTS if not scheme or scheme == begin]
    own = {name.decode("latin-1") for name in names()}
    for port in ("", *ports):
        bare = authority.removesuffix(port)
        if bare in own or any(bare + default in own for default in ports):
            return found[0], location[found.end() :]
    return "", None


def _at_target(location: str, origin: str, port: int) -> str | None:
    """The path of an address at an origin, which it may omit; None for another origin.

    An origin need not have its port, and some have it all the same.
    """
    if location.startswith("/") and not location.startswith("//"):
        return location
    for name in (origin, f"{origin}:{port}"):
        for start in (name, name.partition(":")[2]):
            rest = location[len(start) :]
            # Otherwise it is another host whose name only begins like this.
            if location.lower().startswith(start.lower()) and (not rest or rest[0] in "/?#"):
                return rest
    return None


def _is_below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", *"/?#")


def _without_session(cookies: bytes) -> Headers:
    """A cookie header without the host's own session."""
    parts = [part.strip() for part in cookies.split(b";")]
    kept = [part for part in parts if part.partition(b"=")[0] != SESSION_COOKIE]
    return [(COOKIE_HEADER, b"; ".join(kept))] if kept else []


def _without_credential(headers: Headers) -> Headers:
    """The same without the header by which the host recognised the sender."""
    names = {name for name, _ in headers}
    used = next((name for name in (KEY_HEADER, TOKEN_HEADER) if name in names), None)
    return [pair for pair in headers if pair[0] != used]
