"""Comparing JSON with what is expected of it, where some of it is only known by its kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_VARIABLE = re.compile(r"\{\{(\w+)\}\}")


def parse_json(text: str) -> Any:
    """JSON, and nothing beyond it such as NaN."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def differences(wanted: Any, got: Any, *, partial: bool, at: str = "body") -> Iterator[str]:
    """Where `got` is not as wanted; with `partial`, objects may have further members.

    A boolean is no number, and 57.0 is not what is wanted where 57 is.
    """
    if isinstance(wanted, dict) and "$match" in wanted:
        if not _matches(wanted, got):
            yield f"{at} is {got!r}, wanted {wanted}"
    elif isinstance(wanted, dict) and isinstance(got, dict):
        for name in wanted.keys() - got.keys():
            yield f"{at} lacks {name}"
        for name in () if partial else got.keys() - wanted.keys():
            yield f"{at} has {name} as well"
        for name in wanted.keys() & got.keys():
            yield from differences(wanted[name], got[name], partial=partial, at=f"{at}.{name}")
    elif isinstance(wanted, list) and isinstance(got, list):
        if len(wanted) != len(got):
            yield f"{at} has {len(got)} elements, wanted {len(wanted)}: {got!r:.200}"
        for index, (left, right) in enumerate(zip(wanted, got, strict=False)):
            yield from differences(left, right, partial=partial, at=f"{at}[{index}]")
    elif wanted != got or isinstance(wanted, bool) != isinstance(got, bool) or _has_point(got):
        yield f"{at} is {got!r}, wanted {wanted!r}"


def _has_point(got: Any) -> bool:
    return isinstance(got, float) and got.is_integer() and abs(got) < 1e21


def _matches(rule: dict[str, Any], got: Any) -> bool:
    number = isinstance(got, (int, float)) and not isinstance(got, bool)
    kinds: dict[str, Callable[[], bool]] = {
        "any": lambda: True,
        "null": lambda: got is None,
        "string": lambda: isinstance(got, str),
        "number": lambda: number,
        "uuid": lambda: isinstance(got, str) and _UUID.fullmatch(got) is not None,
        "not": lambda: bool(got != rule["value"]),
        "between": lambda: number and bool(rule["min"] <= got <= rule["max"]),
    }
    return kinds[rule["$match"]]()


def fill_in(value: Any, known: dict[str, Any]) -> Any:
    """The value with every `{{name}}` replaced; one that stands alone keeps its type."""
    if isinstance(value, dict):
        return {name: fill_in(member, known) for name, member in value.items()}
    if isinstance(value, list):
        return [fill_in(item, known) for item in value]
    if not isinstance(value, str):
        return value
    if alone := _VARIABLE.fullmatch(value):
        return known[alone[1]]
    return _VARIABLE.sub(lambda found: str(known[found[1]]), value)


def member(value: Any, place: str) -> Any:
    """The member at a dotted place; numbers count through arrays."""
    for step in place.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value
