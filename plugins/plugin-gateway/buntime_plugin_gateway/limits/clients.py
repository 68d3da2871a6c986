"""What tells clients apart, of what their requests say."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

from buntime_host import DirectRequest, OptionError

ClientKey = Callable[[DirectRequest, str], str]
"""The key of who sends a request from an address."""

_DIGEST_BYTES = 8
_COOKIE = b"cookie"


def client_key(key_by: str, option_name: str) -> ClientKey:
    """What `keyBy` says. Raises `OptionError`.

    Who has none of what it asks for counts by address. Values of headers and cookies may be
    credentials, and keys can be seen in the API: so a digest is taken of them.
    """
    kind, colon, name = key_by.partition(":")
    name = name.strip()
    if kind in _SIMPLE and not colon:
        return _SIMPLE[kind]
    if kind == "header" and name:
        return _by_header(name.lower().encode("latin-1", "replace"))
    if kind == "cookie" and name:
        return _by_cookie(name.encode("latin-1", "replace"))
    raise OptionError(
        f"{option_name}: must be ip, user, key, header:NAME or cookie:NAME, not {key_by!r}"
    )


def _by_address(_: DirectRequest, address: str) -> str:
    return f"ip:{address}"


def _by_user(request: DirectRequest, address: str) -> str:
    """Who it is: all keys and sessions of one name are one user."""
    principal = request.principal
    return f"user:{principal.name}" if principal.id else f"ip:{address}"


def _by_credential(request: DirectRequest, address: str) -> str:
    """With which key he comes."""
    known = request.principal.id
    return f"key:{known}" if known else f"ip:{address}"


_SIMPLE = {"ip": _by_address, "user": _by_user, "key": _by_credential}


def _by_header(name: bytes) -> ClientKey:
    shown = name.decode("latin-1")

    def key(request: DirectRequest, address: str) -> str:
        for given, value in request.headers:
            if given == name:
                return f"header:{shown}:{_digest(value)}"
        return f"ip:{address}"

    return key


def _by_cookie(name: bytes) -> ClientKey:
    shown = name.decode("latin-1")

    def key(request: DirectRequest, address: str) -> str:
        value = cookie_of(request, name)
        return f"ip:{address}" if value is None else f"cookie:{shown}:{_digest(value)}"

    return key


def cookie_of(request: DirectRequest, name: bytes) -> bytes | None:
    """The value of a cookie; None if there is none of that name."""
    for given, value in request.headers:
        if given == _COOKIE:
            for pair in value.split(b";"):
                found, _, text = pair.strip().partition(b"=")
                if found == name:
                    return text
    return None


def _digest(value: bytes) -> str:
    return blake2b(value, digest_size=_DIGEST_BYTES).hexdigest()
