"""What is read quickly of a body with keys is what the slow reader reads of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from buntime_keyval.wire import Key
from buntime_plugin_keyval.faces.http.keys import BATCH, BatchRead
from buntime_plugin_keyval.faces.http.quick_keys import plain_keys
from buntime_plugin_keyval.requests.shape import read_shape
from hypothesis import example, given
from hypothesis import strategies as st


def agree(content: bytes, keys: list[Key]) -> bool:
    """Whether that is what the slow reader reads, to the type of each part, and nothing else."""
    slow = read_shape(BatchRead, BATCH.place, b"", content)
    return repr(slow) == repr(BatchRead(keys=keys))


USUAL = [
    b'{"keys":[["users",1],["users",2],["\xc3\xbc",-3]]}',
    b' { "keys" : [ [ "a" ] , [ 0 , -0 , "" ] ] } ',
    b'{"keys":[[9007199254740991,-9007199254740991]]}',
    json.dumps({"keys": [["k" * 500, number] for number in range(1000)]}).encode(),
]


@pytest.mark.parametrize("content", USUAL, ids=lambda content: repr(content[:60]))
def test_usual_bodies_are_read_at_once(content: bytes) -> None:
    keys = plain_keys(content)
    assert keys is not None
    assert agree(content, keys)


UNUSUAL = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'{"keys":[]}',
    b'{"keys":[[]]}',
    b'{"keys":null}',
    b'{"keys":["a"]}',
    b'{"keys":[["a"]],"keys":[["b"]]}',
    b'{"keys":[["a"]],"key\\u0073":[["b"]]}',
    b'{"key\\u0073":[["b"]]}',
    b'{"keys":[["a"]],"details":true}',
    b'{"keys":[["a"]],"consistency":null}',
    b'{"keys":[["keys"]]}',
    b'{"keys":[["a\\n"]]}',
    b'{"keys":[["\\ud800"]]}',
    b'{"keys":[["\xff"]]}',
    b'{"keys":[[true]]}',
    b'{"keys":[[null]]}',
    b'{"keys":[[1.0]]}',
    b'{"keys":[[1e3]]}',
    b'{"keys":[[9007199254740992]]}',
    b'{"keys":[[{"__type":"bigint","value":"1"}]]}',
    b'{"keys":[["a"]]}x',
    b'{"keys":[["' + b"x" * 513 + b'"]]}',
    b'{"keys":[[' + b",".join([b"1"] * 21) + b"]]}",
    b'{"keys":[' + b",".join([b"[1]"] * 1001) + b"]}",
    b'{"keys":' + b"[" * 100_000,
]


@pytest.mark.parametrize("content", UNUSUAL, ids=lambda content: repr(content[:60]))
def test_whatever_may_mean_something_else_is_left_to_the_slow_reader(content: bytes) -> None:
    assert plain_keys(content) is None


_TEXTS = st.text(max_size=5) | st.sampled_from(["a", "keys", '"', "\\", "\0", "🦊"])
_NUMBERS = st.integers() | st.sampled_from([0, -0.0, 1.0, 1e20, 2.5, 2**53, -(2**53) + 1])
_PARTS = _TEXTS | _NUMBERS | st.booleans() | st.none()
_PLAIN = st.lists(_TEXTS | st.integers(-(2**53), 2**53), min_size=1, max_size=3)
_BODIES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"keys": st.lists(_PLAIN, max_size=4) | st.lists(st.lists(_PARTS, max_size=3), max_size=3)},
    optional={"details": st.sampled_from([True, None]), "keys ": st.just([["a"]])},
)


def _spelled(members: Any, *, is_compact: bool, is_ascii: bool, twice: bool) -> bytes:
    """A body in one of the ways in which clients write it; perhaps with its keys twice."""
    separators = (",", ":") if is_compact else (" , ", " : ")
    text = json.dumps(members, separators=separators, ensure_ascii=is_ascii)
    if twice:
        text = '{"keys":[["b"]],' + text.removeprefix("{")
    return text.encode("utf-8", "surrogatepass")


@given(
    st.builds(
        _spelled,
        _BODIES,
        is_compact=st.booleans(),
        is_ascii=st.booleans(),
        twice=st.sampled_from([False] * 9 + [True]),
    )
)
@example(b'{"keys":[[-0]]}')
@example(b'{"keys":[[-0.0]]}')
def test_what_is_taken_is_taken_for_the_same(content: bytes) -> None:
    keys = plain_keys(content)
    assert keys is None or agree(content, keys)
