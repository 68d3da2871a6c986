"""Values: exact both ways, or refused."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from buntime_plugin_database.shared.values import InvalidArgument, Value, from_sql, to_sql
from hypothesis import given
from hypothesis import strategies as st
from support.hrana import HranaHttp, execute, value

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.binary(),
)


@given(VALUES)
def test_what_goes_out_comes_back_the_same(plain: Any) -> None:
    text = msgspec.json.encode(from_sql(plain))
    back = to_sql(msgspec.json.decode(text, type=Value))
    assert (type(back), back) == (type(plain), plain)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"type": "integer", "value": 5}, 5),
        ({"type": "integer", "value": "-9223372036854775808"}, -(2**63)),
        ({"type": "float", "value": 1}, 1.0),
        ({"type": "blob", "base64": "AQI"}, b"\1\2"),
        ({"type": "blob", "base64": "AQI="}, b"\1\2"),
        ({"type": "blob", "base64": ""}, b""),
        ({"type": "blob", "base64": "+/8"}, b"\xfb\xff"),
    ],
)
def test_what_clients_may_send(sent: dict[str, Any], expected: Any) -> None:
    found = to_sql(msgspec.convert(sent, Value))
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    "sent",
    [
        {"type": "integer", "value": "9223372036854775808"},
        {"type": "integer", "value": -(2**63) - 1},
        {"type": "integer", "value": "1.0"},
        {"type": "integer", "value": "one"},
        {"type": "integer", "value": "1" * 5000},
        {"type": "blob", "base64": "A"},
        {"type": "blob", "base64": "-_8"},
        {"type": "blob", "base64": "é"},
    ],
)
def test_what_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        to_sql(msgspec.convert(sent, Value))


@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_what_json_cannot_say_is_refused(infinite: float) -> None:
    with pytest.raises(InvalidArgument):
        from_sql(infinite)


def test_through_the_database(hrana: HranaHttp) -> None:
    plain = [None, 2**63 - 1, -(2**63), 1.0, -0.0, 1e300, 5e-324, "", "ä\0💧", b"", b"\0\xff"]
    places = ", ".join("?" for _ in plain)
    types = ", ".join(f"typeof(?{n + 1})" for n in range(len(plain)))
    (found,) = hrana.run(execute(f"SELECT {places.replace('?, ', '?, ')}", *plain))
    assert found["result"]["rows"] == [[value(item) for item in plain]]
    (kinds,) = hrana.rows(f"SELECT {types}", *plain)
    assert kinds == [
        *["null", "integer", "integer", "real", "real", "real", "real"],
        *["text", "text", "blob", "blob"],
    ]
