"""What tells clients apart, of what their requests say."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from buntime_host import DirectRequest, OptionError

BY_ADDRESS = "ip"
ClientKey = Callable[[DirectRequest, str], str]
"""The key of who sends a request from an address."""

_DIGEST_BYTES = 8
_COOKIE = b"cookie"


def of_addresses(prefix: str) -> str:
    """What is before an address in the key of who counts by it."""
    return f"{prefix}{BY_ADDRESS}:"


def client_key(key_by: str, option_name: str, *, prefix: str = "") -> ClientKey:
    """What `keyBy` says; all keys begin with `prefix`. Raises `OptionError`.

    Who has none of what it asks for counts by address. Values of headers and cookies may be
    credentials, and keys can be seen in the API: so a digest is taken of them.
    """
    of_address = of_addresses(prefix)

    def by_address(_: DirectRequest, address: str) -> str:
        return of_address + address

    def by_user(request: DirectRequest, address: str) -> str:
        """Who it is: all keys and sessions of one name are one user."""
        principal = request.principal
        return f"{prefix}user:{principal.name}" if principal.id else of_address + address

    def by_credential(request: DirectRequest, address: str) -> str:
        """With which key the client comes."""
        known = request.principal.id
        return f"{prefix}key:{known}" if known else of_address + address

    def by_value(request: DirectRequest, address: str) -> str:
        found = value_of(request)
        return of_address + address if found is None else of_value + _digest(found)

    kind, colon, name = key_by.partition(":")
    simple = {BY_ADDRESS: by_address, "user": by_user, "key": by_credential}.get(kind)
    if simple is not None and not colon:
        return simple
    name = name.strip()
    if kind not in ("header", "cookie") or not name or not name.isascii():
        raise OptionError(
            f"{option_name}: must be ip, user, key, header:NAME or cookie:NAME, not {key_by!r}"
        )
    value_of = _header(name.lower().encode()) if kind == "header" else _cookie(name.encode())
    of_value = f"{prefix}{kind}:{name.lower() if kind == 'header' else name}:"
    return by_value


def _header(name: bytes) -> Callable[[DirectRequest], bytes | None]:
    def value_of(request: DirectRequest) -> bytes | None:
        return next((value for given, value in request.headers if given == name), None)

    return value_of


def _cookie(name: bytes) -> Callable[[DirectRequest], bytes | None]:
    def value_of(request: DirectRequest) -> bytes | None:
        for given, value in request.headers:
            if given == _COOKIE:
                for pair in value.split(b";"):
                    found, _, text = pair.strip().partition(b"=")
                    if found == name:
                        return text
        return None

    return value_of


def _digest(value: bytes) -> str:
    return blake2b(value, digest_size=_DIGEST_BYTES).hexdigest()
