"""Refusing members that nobody declared, with a guess at what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from buntime_keyval.wire.errors import InvalidInput

_SHOWN = 80
_CLOSE = 0.7
"""How alike two names have to be, from 0 to 1, before one is taken for the other."""

_MISNOMERS = {
    "ttl": "expiresin",
    "expiry": "expiresin",
    "expiration": "expiresin",
    "expires": "expiresin",
    "expire": "expiresin",
    "filter": "where",
    "query": "where",
    "max": "limit",
    "count": "limit",
    "desc": "reverse",
    "after": "cursor",
    "data": "value",
    "message": "value",
    "vs": "versionstamp",
    "version": "versionstamp",
}
"""What the same things are called elsewhere, in the form of `_plain`."""


def check_members(given: Iterable[str], known: Collection[str], place: str = "") -> None:
    """Raise `InvalidInput` for the first member that is not known; `place` says where it is."""
    for name in given:
        if name not in known:
            raise unknown_member(name, known, place)


def unknown_member(name: str, known: Collection[str], place: str = "") -> InvalidInput:
    """The error for a member that is not known.

    It names the member that was probably meant, or all that there are. A known name may be a
    path such as `options.delay`, for a member that belongs elsewhere.
    """
    shown = f"Unknown parameter: '{name[:_SHOWN]}'{f' in {place}' if place else ''}"
    meant = _closest(name, known)
    if meant is not None:
        return InvalidInput(f"{shown} (did you mean '{meant}'?)")
    if known:
        return InvalidInput(f"{shown} (known: {', '.join(known)})")
    return InvalidInput(f"{shown} (none is known here)")


def _closest(name: str, known: Collection[str]) -> str | None:
    by_plain = {_plain(one): one for one in reversed(list(known))}
    plain = _plain(name[:_SHOWN])
    if plain in by_plain:
        return by_plain[plain]
    misnomer = _MISNOMERS.get(plain)
    if misnomer in by_plain:
        return by_plain[misnomer]
    close = difflib.get_close_matches(plain, by_plain, n=1, cutoff=_CLOSE)
    return by_plain[close[0]] if close else None


def _plain(name: str) -> str:
    """A name without what people confuse: case, separators, and the object that it is in."""
    return name.rpartition(".")[2].replace("_", "").replace("-", "").lower()
