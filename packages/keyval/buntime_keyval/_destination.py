"""Where the requests of a client go, and what is on the way there."""

from __future__ import annotations

import ssl
from base64 import b64encode
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote_to_bytes, urlsplit, urlunsplit

from buntime_keyval._network import (
    DEFAULT_PORTS,
    Tls,
    checked_proxy,
    find_proxy,
    is_remote_name,
    make_context,
)
from buntime_keyval._transport import Address
from buntime_keyval.wire import InvalidInput

_IN_A_PATH = "/%:@!$&'()*+,;=~[]"


class Destination(NamedTuple):
    """A server, and how it is reached."""

    base_url: str
    base_path: str
    """The path of the base URL as it is in a request, without a slash at its end."""
    origin: str
    """The base URL without its path, and with what may be secret in it."""
    host: str
    """The header that names the server."""
    address: Address
    unix_socket: str | None
    proxy: str | None
    """The URL of the proxy on the way."""
    verify: ssl.SSLContext | bool
    basic: str
    """The header for a name and a password in the base URL; empty if it has none."""
    shown: str
    """The base URL for messages, without what may be secret."""
    via: str
    """Says in messages which server that is, and how it is reached."""


def destination(
    base_url: str, *, tls: Tls, proxy: str | None, unix_socket: str | None
) -> Destination:
    """The server of a base URL. Raises `InvalidInput`."""
    parts = checked_server(base_url)
    if unix_socket is not None and proxy is not None:
        raise InvalidInput("a unix_socket is reached without a proxy: give one of them")
    found = None
    if proxy is not None:
        found = checked_proxy(proxy, "proxy")
    elif unix_socket is None:
        found = find_proxy(parts)
    encrypted = parts.scheme == "https" or (found is not None and found.is_encrypted)
    verify = make_context(tls, encrypted=encrypted)
    tls_of_server = verify if isinstance(verify, ssl.SSLContext) else None
    name = parts.hostname or ""
    host = _host(parts)
    socket = "" if unix_socket is None else f" at the socket {unix_socket}"
    proxy_of = "" if found is None else f" through the proxy of {found.source}"
    return Destination(
        base_url=base_url.rstrip("/"),
        base_path=quote(parts.path.rstrip("/"), safe=_IN_A_PATH),
        origin=urlunsplit((parts.scheme, parts.netloc, "", "", "")),
        host=host,
        address=Address(
            name,
            parts.port or DEFAULT_PORTS[parts.scheme],
            unix_socket,
            tls_of_server if parts.scheme == "https" else None,
            is_remote_name(name),
        ),
        unix_socket=unix_socket,
        proxy=None if found is None else found.url,
        verify=verify,
        basic=_basic(parts) if parts.username else "",
        shown=f"{parts.scheme}://{host}{parts.path.rstrip('/')}",
        via=f" to {parts.scheme}://{host}{socket}{proxy_of}",
    )


def checked_server(base_url: str) -> SplitResult:
    """The parts of a base URL. Raises `InvalidInput`."""
    try:
        parts = urlsplit(base_url)
        if parts.netloc.count(":") > 1 and "[" not in parts.netloc and "@" not in parts.netloc:
            raise InvalidInput(
                "base_url needs brackets around an IPv6 address, such as http://[::1]:8000,"
                f" received {base_url!r}"
            )
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except InvalidInput:
        raise
    except ValueError as error:  # a port that is no number, brackets that do not close
        raise InvalidInput(f"base_url is not a URL: {error}: {base_url!r}") from None
    if not absolute:
        raise InvalidInput(
            f"base_url must be absolute, such as http://127.0.0.1:8000/keyval/api, "
            f"received {base_url!r}"
        )
    if parts.query or parts.fragment:
        raise InvalidInput(f"base_url must have no query and no fragment: {base_url!r}")
    if parts.path.rstrip("/").endswith("/api/keys"):
        # Where keys are: what is below it is a key of another name, and seems to be missing.
        raise InvalidInput(
            "base_url must end before /keys, such as http://127.0.0.1:8000/keyval/api,"
            f" received {base_url!r}"
        )
    return parts


def _host(parts: SplitResult) -> str:
    """The header that names the server. Raises `InvalidInput`."""
    name = parts.hostname or ""
    try:
        name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError as error:
        raise InvalidInput(f"base_url names no host: {error}: {name!r}") from None
    shown = f"[{name}]" if ":" in name else name
    return shown if parts.port in (None, DEFAULT_PORTS[parts.scheme]) else f"{shown}:{parts.port}"


def _basic(parts: SplitResult) -> str:
    """The header for a name and a password in a URL."""
    pair = unquote_to_bytes(parts.username or "") + b":" + unquote_to_bytes(parts.password or "")
    return f"Basic {b64encode(pair).decode()}"
