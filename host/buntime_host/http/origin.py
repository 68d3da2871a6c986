"""Whether a page of some origin may make changes, or open a websocket."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

_OWN_SITES = frozenset({b"same-origin", b"none"})
"""Values of `Sec-Fetch-Site` for a page of this very host, and for an address that was typed."""

DEFAULT_PORTS = {"http": 80, "https": 443}


class FurtherOrigins(Protocol):
    """Further origins besides those of the configuration, as a `RequestPassage` has them."""

    def trusts(self, origin: bytes) -> bool:
        """Whether their pages may make changes."""

    def takes_cookies(self, origin: bytes) -> bool:
        """Whether the session cookie counts in requests of trusted ones."""


class OriginPolicy:
    """Same host, or trusted by configuration.

    Clients other than browsers send neither `Origin` nor `Sec-Fetch-Site`. A browser sends the
    first with every POST, and the second with everything that a page makes it fetch, images and
    links too.
    """

    def __init__(self, trusted: Iterable[str] = (), further: FurtherOrigins | None = None) -> None:
        """The host does not answer browsers about `further` origins."""
        self._further = further
        self._trusted = frozenset(origin.strip().rstrip("/").lower().encode() for origin in trusted)

    @property
    def trusts_others(self) -> bool:
        """Whether any origin but the host's own is trusted."""
        return bool(self._trusted)

    def trusts(self, origin: bytes) -> bool:
        """Whether `origin` is trusted by configuration, whatever host the request is for."""
        return origin.lower() in self._trusted

    def permits(self, origin: bytes | None, site: bytes | None, host: bytes) -> bool:
        """Whether a request may make changes, by its headers; None for absent ones.

        Without an origin the request must not come from another site.
        """
        if origin is not None:
            return self.allows(origin, host)
        return site is None or site.strip().lower() in _OWN_SITES

    def allows(self, origin: bytes, host: bytes) -> bool:
        """Whether `origin` has the authority of the `Host` header, or is trusted."""
        if self._is_own_or_trusted(origin, host):
            return True
        return self._further is not None and self._further.trusts(origin.lower())

    def takes_cookies(self, origin: bytes | None, host: bytes) -> bool:
        """Whether the session cookie counts in a request that is permitted."""
        further = self._further
        if further is None or origin is None or self._is_own_or_trusted(origin, host):
            return True
        return further.takes_cookies(origin.lower())

    def _is_own_or_trusted(self, origin: bytes, host: bytes) -> bool:
        origin, host = origin.lower(), host.lower()
        if origin.removeprefix(b"http").removeprefix(b"s") == b"://" + host:
            # The common case, without parsing: no userinfo, no path, not empty.
            return host != b"" and b"@" not in host and b"/" not in host
        if self.trusts(origin):
            return True
        parts = _authority(origin)
        if parts is None or not host:
            return False
        scheme, name, port = parts
        # Browsers leave out the default port in Origin; a Host header may still have it.
        return _split_host(host, DEFAULT_PORTS[scheme]) == (name, port)


def origin_problem(origin: str) -> str | None:
    """Why a text is not what a browser sends as `Origin`; None if it is."""
    try:
        parts = _authority(origin.strip().rstrip("/").encode("ascii"))
    except UnicodeEncodeError:
        return "names in other scripts have to be written as browsers send them, in punycode"
    if parts is None:
        return 'must be scheme, host and port if it is not the default one: "https://app.example"'
    return None


def _authority(origin: bytes) -> tuple[str, str, int] | None:
    """Scheme, host name and port of an origin; None for anything else, such as `null`."""
    try:
        parts = urlsplit(origin.decode("ascii"))
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def _split_host(host: bytes, default_port: int) -> tuple[str, int] | None:
    try:
        parts = urlsplit(f"//{host.decode('ascii')}")
        port = parts.port
    except ValueError:
        return None
    return parts.hostname or "", port or default_port
