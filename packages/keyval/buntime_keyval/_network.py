"""The way of a client to its server: proxies, certificates, sockets.

A client talks to one host, so its proxy is found once, from the environment, with the rules of
curl: https://everything.curl.dev/usingcurl/proxies/env.html. There are two differences: addresses
of this machine never need a proxy, and `NO_PROXY` takes networks such as `10.0.0.0/8` too.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
import sys
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from buntime_keyval._tokens import AsyncTokenSource
from buntime_keyval.wire import InvalidInput

URL_VARIABLE = "BUNTIME_URL"
TOKEN_VARIABLE = "BUNTIME_TOKEN"  # noqa: S105 - the name of a variable

DEFAULT_PORTS = {"http": 80, "https": 443}
_PROTOCOLS = ["http/1.1"]
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""Files of a folder that OpenSSL finds authorities in."""
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Places where systems have certificates in one file."""
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


class Tls(NamedTuple):
    """How the server proves its identity, and how the client does."""

    verify: bool | str | ssl.SSLContext = True
    """False: not at all. A text: the file or folder with the authorities' certificates."""
    cert: str | tuple[str, str] | tuple[str, str, str] | None = None
    """The client's certificate: a file, or certificate and key, or these and a password."""


VERIFIED = Tls()


class Proxy(NamedTuple):
    """A proxy and where its address comes from."""

    url: str
    source: str

    @property
    def is_encrypted(self) -> bool:
        """Whether the way to it is."""
        return self.url.startswith("https:")


def of_environment(
    base_url: str | None,
    token: str | AsyncTokenSource | None,
    environ: Mapping[str, str] | None = None,
) -> tuple[str, str | AsyncTokenSource | None]:
    """Base URL and token; without a base URL those of the environment.

    A token of the environment goes to the server of the environment only. Raises `InvalidInput`.
    """
    if base_url is not None:
        return base_url, token
    environ = os.environ if environ is None else environ
    url = environ.get(URL_VARIABLE, "").strip()
    if not url:
        raise InvalidInput(
            f"base_url is missing: give it, or set {URL_VARIABLE} to one such as"
            " http://127.0.0.1:8000/keyval/api"
        )
    return url, token if token is not None else environ.get(TOKEN_VARIABLE) or None


def find_proxy(server: SplitResult, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """The proxy on the way to a server, as the environment has it.

    Raises `InvalidInput`, naming the variable, for one that cannot be used.
    """
    environ = os.environ if environ is None else environ
    host = server.hostname or ""
    if _is_this_machine(host):
        return None
    found = _named_proxy(server.scheme, environ)
    if found is None:
        return None
    port = server.port or DEFAULT_PORTS[server.scheme]
    no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if any(_matches(entry.strip(), host, port) for entry in no_proxy.split(",")):
        return None
    return checked_proxy(found.url, found.source)


def checked_proxy(url: str, source: str) -> Proxy:
    """A proxy that can be used. Raises `InvalidInput` with where it comes from."""
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(
            f"{source} is not the URL of a proxy, such as http://proxy.example:3128"
            f" ({', '.join(_PROXY_SCHEMES)})"
        )
    if parts.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise InvalidInput(
            f"{source} names a SOCKS proxy, which needs a further package: pip install"
            " buntime-keyval[socks]; or except the server with NO_PROXY"
        )
    if importlib.util.find_spec("httpx2") is None:
        raise InvalidInput(
            f"{source} names a proxy, which needs a further package: pip install"
            " buntime-keyval[proxy]; or except the server with NO_PROXY"
        )
    return Proxy(url, source)


def make_context(tls: Tls, *, encrypted: bool) -> ssl.SSLContext | bool:
    """The TLS context that verifies the server, with the client's certificate. Raises
    `InvalidInput`.

    Without encryption no authorities are loaded, which would take longer than a hundred requests.
    """
    if isinstance(tls.verify, ssl.SSLContext):
        if tls.cert is not None:
            raise InvalidInput("cert belongs into the SSLContext that verify is")
        return tls.verify
    if not encrypted and tls == VERIFIED:
        return False
    try:
        context = _verifying_context(tls.verify)
        if tls.cert is not None:
            files = (tls.cert,) if isinstance(tls.cert, str) else tls.cert
            context.load_cert_chain(*files)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidInput(f"verify or cert cannot be used: {reason}") from error
    return context


def _verifying_context(verify: bool | str) -> ssl.SSLContext:
    authorities = verify if isinstance(verify, str) else os.environ.get("SSL_CERT_FILE")
    folder = None if isinstance(verify, str) else os.environ.get("SSL_CERT_DIR")
    if authorities is None and folder is None and verify:
        return _trusting_the_system()
    context = ssl.create_default_context()
    context.set_alpn_protocols(_PROTOCOLS)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    is_folder = authorities is not None and os.path.isdir(authorities)
    context.load_verify_locations(
        cafile=None if is_folder else authorities, capath=authorities if is_folder else folder
    )
    return context


def _trusting_the_system() -> ssl.SSLContext:
    """Trusts the authorities that the system trusts."""
    if sys.platform in ("darwin", "win32"):
        import truststore

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    context.set_alpn_protocols(_PROTOCOLS)
    paths = ssl.get_default_verify_paths()
    names = os.listdir(paths.capath) if paths.capath else []
    if not paths.cafile and not any(map(_HASHED.fullmatch, names)):
        # A Python that was built for another system looks where this one has nothing.
        for bundle in filter(os.path.isfile, _BUNDLES):
            context.load_verify_locations(bundle)
            break
    return context


def _named_proxy(scheme: str, environ: Mapping[str, str]) -> Proxy | None:
    is_cgi = "REQUEST_METHOD" in environ  # then HTTP_PROXY is a header of the request
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
        if environ.get(name, "").strip() and not (is_cgi and name == "HTTP_PROXY"):
            return Proxy(environ[name].strip(), name)
    if environ is os.environ:
        from urllib.request import getproxies  # brings an HTTP client of its own

        system = getproxies()  # on macOS and Windows that of the system
        for kind in (scheme, "all"):
            if system.get(kind):
                return Proxy(system[kind], "the system's proxy")
    return None


def is_remote_name(host: str) -> bool:
    """Whether it is a name, and not one of this machine."""
    return _address(host) is None and not _is_this_machine(host)


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of `NO_PROXY` names a host: itself, its domain, its network, or all."""
    if entry == "*":
        return True
    if not entry:
        return False
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        address = _address(host)
        return address is not None and address in network
    name, _, its_port = entry.rpartition(":")
    if name and its_port.isdigit():
        return int(its_port) == port and _matches(name, host, port)
    domain = entry.lower().removeprefix("*").removeprefix(".").rstrip(".")
    host = host.rstrip(".")
    return host == domain or host.endswith(f".{domain}")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
