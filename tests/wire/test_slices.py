"""Large values, read in slices."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from buntime_keyval.wire import InvalidInput, canonical, canonical_value, long_texts, slices
from buntime_keyval.wire.canonical import canonical_steps
from buntime_keyval.wire.limits import MAX_VALUE_BYTES, MAX_VALUE_DEPTH
from buntime_keyval.wire.slices import Steps
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sampling import share_of

pytestmark = pytest.mark.slow

NOW = 1_700_000_000_000
SIZES = [1, 7, 20]

texts = st.text(st.characters(codec="utf-8"), max_size=6) | st.text(
    st.sampled_from('\\"[]{},:a$\n'), max_size=8
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([-0.0, 1.0, 1e20, 1e22]),
    texts,
    st.just({"$now": True}),
    st.just({"$now": True, "$offset": 5.0, "x": [1, [2]]}),
    st.just({"__type": "bigint", "value": "+007"}),
    st.just({"__type": "uint8array", "value": "AP8="}),
    st.just({"__type": "other", "value": 1.0}),
)
names = st.one_of(texts, st.sampled_from(["a", "b", "$now", "__type", "value"]))
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(names, inner, max_size=6)),
    max_leaves=25,
)


def in_slices(body: bytes, size: int) -> tuple[str, int]:
    """The canonical text that slices of this size make, and in how many steps."""
    with (
        mock.patch.object(slices, "SLICE", size),
        mock.patch.object(long_texts, "PIECE", size),
        mock.patch.object(canonical, "WHOLE", 0),
        mock.patch.object(canonical, "NAMES", 2),
    ):
        return run(canonical_steps(body, NOW))


def run(steps: Steps) -> tuple[Any, int]:
    number = 1
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value, number
        number += 1


def outcome(make: Any) -> Any:
    """What it makes, or that it refuses."""
    try:
        return make()
    except InvalidInput:
        return InvalidInput


@settings(max_examples=share_of(400), deadline=None)
@given(documents, st.sampled_from(SIZES), st.sampled_from([None, 1]), st.booleans())
@example([[], {}, [[1]], {"a": {"b": []}}], 1, None, True)
@example(["\\", '\\"', '"]', "[\\\\"], 1, None, True)
def test_slices_give_the_text_of_the_whole(
    value: Any, size: int, indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    whole = outcome(lambda: canonical_value(body, NOW))
    assert outcome(lambda: in_slices(body, size)[0]) == whole


@pytest.mark.parametrize(
    "text",
    [
        "\\ud83d\\ude00",
        "\\n",
        '\\"',
        "\\\\",
        '\\\\\\"',
        "\\\\n",
        "\\u0001",
        "\\/",
        "\u00e9",
        "\u20ac",
        "\U0001f600",
    ],
)
@pytest.mark.parametrize(
    "around",
    ['"%"', '["%"]', '{"a":["%"],"b":1}', '{"%":1}', '[{"%":{"%":1.0}},2]', '{"%":[1,[2],3]}',
     '{"__type":"%"}', '{"%":{"$now":true}}'],
)  # fmt: skip
def test_long_texts_are_cut_between_characters(text: str, around: str) -> None:
    body = around.replace("%", f"a{text * 9}bc{text}{text}").encode()
    whole = canonical_value(body, NOW)
    for size in range(1, 14):
        assert in_slices(body, size)[0] == whole, size


@pytest.mark.parametrize("wrong", ["\\ud83d", "\\ud83dx", "\\u12g", "\\x", "\n", "\\ude00\\ud83d"])
@pytest.mark.parametrize("size", SIZES)
def test_long_texts_that_are_none_are_refused(wrong: str, size: int) -> None:
    for body in (f'"{"a" * 15}{wrong}"', f'"{wrong}{"a" * 15}"', f'"{wrong * 9}{"a" * 15}"'):
        with pytest.raises(InvalidInput, match=r"^Invalid JSON body$"):
            in_slices(body.encode(), size)


@settings(max_examples=share_of(400), deadline=None)
@given(documents, st.sampled_from(SIZES), st.data())
def test_what_is_no_json_is_refused_in_slices_too(
    value: Any, size: int, data: st.DataObject
) -> None:
    body = json.dumps(value).encode()
    place = data.draw(st.integers(0, len(body)))
    length = data.draw(st.integers(0, 3))
    junk = data.draw(
        st.sampled_from([b"", b",", b"]", b"[", b"}", b'"', b"{", b":", b"\\", b" ", b"1"])
    )
    body = body[:place] + junk + body[place + length :]
    whole = outcome(lambda: canonical_value(body, NOW))
    sliced = outcome(lambda: in_slices(body, size)[0])
    if InvalidInput in (whole, sliced):
        assert whole == sliced
    else:
        assert json.loads(sliced) == json.loads(whole)


@settings(max_examples=share_of(200), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", "$now", "__type", "value"]), documents)),
    st.sampled_from(SIZES),
)
def test_the_last_of_several_members_of_a_name_counts(
    members: list[tuple[str, Any]], size: int
) -> None:
    pairs = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members)
    body = f'[{{{pairs}}},{{"a":{{{pairs}}}}}]'.encode()
    whole = outcome(lambda: json.loads(canonical_value(body, NOW)))
    sliced = outcome(lambda: json.loads(in_slices(body, size)[0], object_pairs_hook=_once))
    last = dict(members)
    earlier = [value for name, value in members if value is not last[name]]
    if sliced is InvalidInput and any(map(_is_refused, earlier)):
        return  # in slices it is seen before the one that comes after it
    assert sliced == whole


def _is_refused(value: Any) -> bool:
    return outcome(lambda: canonical_value(json.dumps(value).encode(), NOW)) is InvalidInput


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    assert len(members) == len(pairs)
    return members


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b",", b"1,2", b"[1],", b"[1],[2]", b"[1]]", b"[[1]", b'{"a":1', b'{"a":1}}',
        b"[1,]", b"[,1]", b"[1,,2]", b'{"a":1,}', b'{,"a":1}', b'{"a":1,2}', b'[1,"a":2]', b"[1,2}",
        b'{"a":[1,2}]', b'["a', b'["a,', b'["a\\"]', b"[1,NaN]", b"[1e400,1]",
        b"[1," + b"9" * 309 + b"]", b'["\\ud800",1]', b'["\xff",1]', b"[1,2] x",
        b"[1,2]\x00", b'{"a":1,"b":{"c":2,"d":}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", SIZES)
def test_bodies_that_are_not_json_are_refused(body: bytes, size: int) -> None:
    with pytest.raises(InvalidInput, match=r"^Invalid JSON body$"):
        in_slices(body, size)


@pytest.mark.parametrize("size", [1, 300, slices.SLICE])
@pytest.mark.parametrize(("opening", "closing"), [(b"[1,", b",2]"), (b'{"a":', b"}"), (b"[", b"]")])
def test_nesting_is_limited(opening: bytes, closing: bytes, size: int) -> None:
    def nested(levels: int) -> bytes:
        return opening * levels + b"1.0" + closing * levels

    assert in_slices(nested(MAX_VALUE_DEPTH), size)[0] == canonical_value(
        nested(MAX_VALUE_DEPTH), NOW
    )
    for levels in (MAX_VALUE_DEPTH + 1, 5000):
        with pytest.raises(InvalidInput, match="nested too deep"):
            in_slices(nested(levels), size)


MANY = 200_000
SHAPES: dict[str, Callable[[], bytes]] = {
    "whole numbers": lambda: b"[" + b"[1.0]," * MANY + b"0]",
    "objects": lambda: b"[" + b'{"a":1.0},' * MANY + b"0]",
    "empty arrays": lambda: b"[" + b"[]," * MANY + b"0]",
    "times": lambda: b"[" + b'{"$now":true},' * MANY + b"0]",
    "members": lambda: b"{" + b",".join(b'"%x":1' % number for number in range(MANY)) + b"}",
    "members twice": lambda: b"{" + b",".join(b'"%x":1' % (n // 2) for n in range(MANY)) + b"}",
    "escapes": lambda: b"[" + b'"\\n\\"\\\\",' * MANY + b"0]",
    "nested": lambda: b'{"a":[' * 120 + b"[]," * MANY + b"1" + b"]}" * 120,
    "bigints": lambda: b"[" + b'{"__type":"bigint","value":"01"},' * MANY + b"0]",
}


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_large_values_are_read_in_small_steps(make: Callable[[], bytes]) -> None:
    body = make()
    text, steps = run(canonical_steps(body, NOW))
    assert text == canonical_value(body, NOW)
    assert steps > len(body) / slices.SLICE


LONG = 5_000_000
LONG_MEMBERS: dict[str, Callable[[], bytes]] = {
    "digits": lambda: b"[1." + b"1" * LONG + b"]",
    "blanks": lambda: b"[1" + b" " * LONG + b"]",
    "unclosed": lambda: b"[" * LONG,
    "objects unclosed": lambda: b'{"a":' * (LONG // 5),
    "quotes": lambda: b'"' * LONG,
    "colons": lambda: b":" * LONG,
    "text": lambda: b'["' + b"x" * LONG + b'"]',
    "escapes": lambda: b'["' + b"\\n" * (LONG // 2) + b'"]',
    "bytes": lambda: b'{"__type":"uint8array","value":"' + b"AP8A" * (LONG // 4) + b'"}',
    "name": lambda: b'{"' + b"x" * LONG + b'":1}',
    "names": lambda: b"{" + b",".join(b'"%x":1' % number for number in range(LONG // 10)) + b"}",
}
MOST_CPU_SECONDS = 0.1
"""Of a step, which takes a tenth of that where nothing else runs."""


@pytest.mark.parametrize("make", LONG_MEMBERS.values(), ids=LONG_MEMBERS)
def test_no_step_takes_long(make: Callable[[], bytes]) -> None:
    body = make()
    steps = canonical_steps(body, NOW)
    longest = 0.0
    while True:
        began = time.thread_time()
        try:
            next(steps)
        except (StopIteration, InvalidInput):
            break
        finally:
            longest = max(longest, time.thread_time() - began)
    assert longest < MOST_CPU_SECONDS


def test_long_texts_take_few_steps_and_stay_as_they_are() -> None:
    for text in ("x" * 3_000_000, "\\" * 1_000_001, '",' * 500_000, ".0]" * 500_000, "é" * 500_000):
        body = json.dumps(["a", {"b": text}, 1], ensure_ascii=False).encode()
        assert json.loads(run(canonical_steps(body, NOW))[0]) == ["a", {"b": text}, 1]


def test_large_bytes_and_bigints_are_normalised() -> None:
    body = b'{"__type":"uint8array","value":"' + b"AP8A" * 100_000 + b'"}'
    value = {"__type": "uint8array", "value": "AP8A" * 100_000}
    assert json.loads(run(canonical_steps(body, NOW))[0]) == value
    with pytest.raises(InvalidInput, match=r"bigint has 400000 digits \(max 10000\)"):
        run(canonical_steps(body.replace(b"uint8array", b"bigint").replace(b"AP8A", b"9999"), NOW))
    with pytest.raises(InvalidInput, match="bigint value must be a decimal string"):
        run(canonical_steps(b'{"__type":"bigint","value":[' + b"1," * 100_000 + b"1]}", NOW))


@pytest.mark.parametrize("special", [b'"$now":true,"$offset":7', b'"__type":"bigint","value":"5"'])
@pytest.mark.parametrize("large", [b"[" + b"[]," * 100_000 + b"1]", b'"' + b"x" * 400_000 + b'"'])
def test_large_members_that_would_be_lost_are_refused(special: bytes, large: bytes) -> None:
    for body in (b'{%b,"x":%b}' % (special, large), b'{"x":%b,%b}' % (large, special)):
        with pytest.raises(InvalidInput, match="received 'x' too"):
            run(canonical_steps(body, NOW))


def test_a_time_is_made_after_many_blanks() -> None:
    body = b'{"$now":true,' + b" " * 400_000 + b'"$offset":7}'
    assert run(canonical_steps(body, NOW))[0] == str(NOW + 7)


def test_the_size_of_the_text_is_limited_not_that_of_the_body() -> None:
    blanks = b"[1," + b" " * MAX_VALUE_BYTES + b"2]"
    assert run(canonical_steps(blanks, NOW))[0] == "[1,2]"
    grown = b"[" + b"1e17," * (MAX_VALUE_BYTES // 18) + b'1.0,{"$now":true}]'
    assert len(grown) < MAX_VALUE_BYTES
    whole = b'"' + b"x" * (MAX_VALUE_BYTES - 1) + b'"'
    with pytest.raises(InvalidInput, match="Value too large"):
        run(canonical_steps(whole, NOW))
