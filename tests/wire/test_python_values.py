"""Python values in the store: what goes in comes out, what JSON cannot hold is refused."""

from __future__ import annotations

import enum
import json
import math
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from buntime_keyval.wire import BigInt, InvalidInput, decode_value, encode_value
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sampling import share_of
from support.values import shape, values

NOW = 1_700_000_000_000
SAFE = 2**53 - 1

FRACTIONS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())


@pytest.mark.slow
@settings(max_examples=share_of(300), deadline=None)
@given(values(FRACTIONS))
@example([BigInt(5), 5, True, 1, b"\0"])
def test_round_trip(value: Any) -> None:
    text = encode_value(value, NOW)
    assert shape(decode_value(text)) == shape(value)
    assert encode_value(decode_value(text), NOW) == text


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (SAFE + 1, BigInt(SAFE + 1)),
        (-SAFE - 1, BigInt(-SAFE - 1)),
        (2.0, 2),
        (-0.0, 0),
        (2.0**60, 2**60),
        ((1, (2,)), [1, [2]]),
        ({1}, [1]),
        (bytearray(b"a"), b"a"),
        pytest.param(memoryview(b"a"), b"a", id="memoryview"),
        ({"$now": True}, NOW),
        ({"t": [{"$now": True, "offset": 5}]}, {"t": [NOW + 5]}),
        ({5: "a"}, {"5": "a"}),
        (BigInt(-(10**9999)), BigInt(-(10**9999))),
        pytest.param(10**9999, BigInt(10**9999), id="long integer"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_values_that_come_back_in_another_form(value: Any, back: Any) -> None:
    assert shape(decode_value(encode_value(value, NOW))) == shape(back)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Point(1, 2.0), '{"x":1,"y":2}'),
        (Colour.RED, '"red"'),
        (Decimal("1.5"), '"1.5"'),
        (datetime(2024, 1, 2, tzinfo=UTC), '"2024-01-02T00:00:00Z"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    ],
)
def test_python_types(value: Any, text: str) -> None:
    assert encode_value(value, NOW) == text


def _endless() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": -math.inf},
        "\ud800",
        {"\ud800": 1},
        object(),
        1j,
        {(1, 2): 3},
        _endless(),
        {"__type": "bigint", "value": "x"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        encode_value(value, NOW)


@pytest.mark.parametrize(
    "member",
    [
        *(
            0,
            -1,
            SAFE,
            -SAFE,
            SAFE + 1,
            -SAFE - 1,
            2**64,
            -(10**30),
            True,
            None,
            1.0,
            2.5,
        ),
        *("", "a", "é", "9" * 16, "1.0", '"$now"', "$now", "__type", BigInt(5), b"a", Decimal(1)),
    ],
)
def test_flat_values_are_written_as_nested_ones_are(member: Any) -> None:
    text = encode_value([[member]], NOW)[2:-2]
    assert encode_value(member, NOW) == text
    assert encode_value([member, "x"], NOW) == f'[{text},"x"]'
    assert encode_value({"a": member, "n": 1}, NOW) == f'{{"a":{text},"n":1}}'
    assert encode_value(
        {"a": member, "n": 1} | dict.fromkeys(map(str, range(200))), NOW
    ).startswith(f'{{"a":{text},"n":1,"0":null')


def test_a_tag_that_is_not_ours_stays_an_object() -> None:
    text = encode_value({"__type": "point", "value": "1"}, NOW)
    assert decode_value(text) == json.loads(text) == {"__type": "point", "value": "1"}
