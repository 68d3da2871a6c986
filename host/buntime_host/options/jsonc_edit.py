"""Changes one value in a text of JSON with comments, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from buntime_host.options.jsonc import as_plain_json, parse_jsonc

_BLANK = re.compile(r"\s*")
_DECODER = json.JSONDecoder()


class _Span(NamedTuple):
    """The place of a value: from its first character to behind its last one."""

    start: int
    end: int


def with_value(text: str, path: Sequence[str | int], value: object) -> str:
    """The text with a value at a path of names and places; comments stay where they are.

    The last name may be missing in its object. Raises `JsoncError` for a text that is not JSON,
    `KeyError` where the path leads nowhere.
    """
    parse_jsonc(text)  # the text must not have more errors afterwards than before
    plain = as_plain_json(text)
    span = _Span(_skip(plain, 0), len(plain))
    *way, last = path
    for step in way:
        span = _inside(plain, span)[step]
    members = _inside(plain, span)
    told = json.dumps(value, ensure_ascii=False)
    if last in members:
        start, end = members[last]
        return text[:start] + told + text[end:]
    if not isinstance(last, str) or plain[span.start] != "{":
        raise KeyError(last)
    at = span.start + 1
    added = f" {json.dumps(last)}: {told}{',' if members else ' '}"
    return text[:at] + added + text[at:]


def _inside(plain: str, span: _Span) -> dict[str | int, _Span]:
    """The members of an object by name, or the elements of an array by place."""
    opening = plain[span.start]
    found: dict[str | int, _Span] = {}
    if opening not in "{[":
        raise KeyError(plain[span.start : span.end])
    at = _skip(plain, span.start + 1)
    while plain[at] not in "}]":
        name: str | int = len(found)
        if opening == "{":
            name, at = _DECODER.raw_decode(plain, at)
            at = _skip(plain, _skip(plain, at) + 1)
        _, end = _DECODER.raw_decode(plain, at)
        found[name] = _Span(at, end)
        at = _skip(plain, end)
        if plain[at] == ",":
            at = _skip(plain, at + 1)
    return found


def _skip(plain: str, at: int) -> int:
    found = _BLANK.match(plain, at)
    return found.end() if found else at
