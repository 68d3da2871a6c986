"""Keys by which clients are told apart."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from buntime_host import DirectRequest, OptionError

BY_ADDRESS = "ip"
ClientKey = Callable[[DirectRequest, str], str]
"""Returns the key of the client of a request from an address."""

_DIGEST_BYTES = 8
_COOKIE = b"cookie"


def of_addresses(prefix: str) -> str:
    """The part before the address in keys of clients that are counted by address."""
    return f"{prefix}{BY_ADDRESS}:"


def client_key(key_by: str, option_name: str, *, prefix: str = "") -> ClientKey:
    """The key function for `keyBy`; all keys begin with `prefix`. Raises `OptionError`.

    Requests without what it names are counted by address. Values of headers and cookies may be
    credentials, and keys are shown by the API: so a digest of them is used.
    """
    of_address = of_addresses(prefix)

    def by_address(_: DirectRequest, address: str) -> str:
        return of_address + address

    def by_user(request: DirectRequest, address: str) -> str:
        """Count by user: all keys and sessions of one name are one user."""
        principal = request.principal
        return f"{prefix}user:{principal.name}" if principal.id else of_address + address

    def by_credential(request: DirectRequest, address: str) -> str:
        """Count by credential."""
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
