"""Requests that are almost right: well-formed messages with something wrong somewhere."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**400,
    1.5, -0.0, 1e308, "", " ", "a", "\x00", "\ud800", "é\u202e😀", "x" * 5000, ":a", "?1", "?0",
    "0", "1e5", "NaN", "../..", "%00", "SELECT", [], {}, [[]], [None], {"": None}, {"type": None},
    {"type": "null"}, {"type": "integer", "value": "9" * 30}, {"type": "blob", "base64": "*"},
    {"type": "float", "value": "x"}, {"$blob": "*"}, {"$int": "x"}, [[[[[]]]]],
)  # fmt: skip
BAD_BYTES = (
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\x00",
    b"\xef\xbb\xbf",
    b'"',
    b"}",
    b"NaN",
    b"\\u",
)


def places_of(value: Any) -> list[tuple[Any, Any]]:
    """Every container below a value, with each of its keys."""
    found: list[tuple[Any, Any]] = []
    children: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    for key, child in children:
        found.append((value, key))
        found += places_of(child)
    return found


class Mutator:
    """Spoils messages, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def body(self, template: Any) -> bytes:
        """The template, spoilt in some places or in none, as bytes."""
        message = copy.deepcopy(template)
        try:
            for _ in range(self.random.choice((0, 1, 1, 1, 2, 3))):
                message = self._spoil(message)
            text = json.dumps(message).encode()
        except RecursionError:  # nested twice
            text = b'{"requests":' + b"[" * 50_000
        if self.random.random() < 0.15:
            text = self._spoil_bytes(text)
        return text

    def text(self) -> str:
        """Something for a header or a part of a path, in printable ASCII."""
        return (
            self.random.choice(
                (
                    "",
                    "a",
                    "A-b_9",
                    "..",
                    "a/b",
                    "%2e%2e",
                    "%00",
                    "%ff",
                    "%",
                    "sqlite",
                    "libsql",
                    "é" * 3,
                )
            )
            .encode("ascii", "replace")
            .decode()
        )

    def _spoil(self, message: Any) -> Any:
        places = places_of(message)
        if not places or self.random.random() < 0.03:
            return self._odd()
        container, key = self.random.choice(places)
        match self.random.randrange(6):
            case 0:
                del container[key]
            case 1:
                container[key] = [container[key]] * self.random.choice((0, 1, 2, 50))
            case 2 if isinstance(container, dict):
                container[self.random.choice(("sql", "sql_id", "stmt", "type", "x", ""))] = (
                    self._odd()
                )
            case 3:
                other, place = self.random.choice(places)
                container[key] = copy.deepcopy(
                    other.get(place) if isinstance(other, dict) else None
                )
            case 4:
                nested: Any = container[key]
                for _ in range(self.random.choice((1, 40, 400))):
                    nested = {key: nested} if isinstance(container, dict) else [nested]
                container[key] = nested
            case _:
                container[key] = self._odd()
        return message

    def _odd(self) -> Any:
        return copy.deepcopy(self.random.choice(ODD))

    def _spoil_bytes(self, text: bytes) -> bytes:
        place = self.random.randrange(len(text) + 1)
        if self.random.random() < 0.3:
            return text[:place]
        return text[:place] + self.random.choice(BAD_BYTES) + text[place:]
