"""Prefixes as options name them: a key as JSON has it, or as a path; `[]` and `""` are all keys."""

from __future__ import annotations

from collections.abc import Iterable

from buntime_host import OptionError
from buntime_keyval.wire import Key, check_key, encode_key, parse_key_path

from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, subtree


def ranges_of(option: str, given: Iterable[object]) -> list[KeyRange]:
    """The keys at and below each prefix. Raises `OptionError`, which names the option."""
    return [_range(_prefix(option, one)) for one in given]


def _range(prefix: Key) -> KeyRange:
    encoded = encode_key(prefix) if prefix else b""
    return subtree(encoded) if encoded else descendants(encoded)


def _prefix(option: str, given: object) -> Key:
    if given == [] or given == "":
        return ()
    try:
        return parse_key_path(given) if isinstance(given, str) else check_key(given)
    except ValueError as error:
        raise OptionError(f"{option}: {error}: {given!r:.100}") from None
