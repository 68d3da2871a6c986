"""What is read quickly of the body of a commit is what the slow reader reads of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from buntime_keyval.wire.commits import Mutation
from buntime_plugin_keyval.faces.http.atomic import COMMIT, Commit
from buntime_plugin_keyval.faces.http.quick_commits import MOST_BYTES, plain_mutations
from buntime_plugin_keyval.model.mutations import parse_mutation
from buntime_plugin_keyval.requests.shape import read_shape
from hypothesis import example, given
from hypothesis import strategies as st

NOW_MS = 1_750_000_000_000


def in_full(content: bytes) -> list[Mutation]:
    """The mutations by the table of members and the parser, where there is nothing beside them.

    Raises `InvalidInput`.
    """
    commit = read_shape(Commit, COMMIT.place, b"", content)
    assert not commit.checks
    assert not commit.results
    return [parse_mutation(n, item, NOW_MS, {}) for n, item in enumerate(commit.mutations)]


def agree(content: bytes, mutations: list[Mutation]) -> bool:
    """Whether that is what the slow reader reads, to the type of each number."""
    return repr(mutations) == repr(in_full(content))


def body(*mutations: str) -> bytes:
    return f'{{"mutations":[{",".join(mutations)}]}}'.encode()


USUAL = [
    body('{"type":"sum","key":["counters",1],"value":1}'),
    body('{"type":"max","key":["counters",1],"value":-5}'),
    body('{"value":3,"key":["a"],"type":"min"}'),
    body('{"type":"sum","key":["a"],"value":{"__type":"bigint","value":"12"}}'),
    body('{"type":"sum","key":["a"],"value":{"__type":"bigint","value":" 0x1f "}}'),
    body('{"value": { "value" : "-7" , "__type" : "bigint" }, "key":["a"],"type":"max"}'),
    body('{"type":"set","key":["a",-1],"value":null}'),
    body('{"type":"set","key":["a"],"value": {"a": [1, "x", {"b": "\\"q\\""}]} }'),
    body('{"type":"set","key":["a"],"value":{"a":1,"a":2}}'),
    body('{"type":"set","key":["a"],"value":1}', '{"type":"delete","key":["b\\u0000","ü"]}'),
    b' { "checks" : [], "mutations" : [ { "type" : "delete" , "key" : ["a"] } ] } ',
    b'{"checks":[],"mutations":[]}',
]


@pytest.mark.parametrize("content", USUAL)
def test_usual_bodies_are_read_at_once(content: bytes) -> None:
    mutations = plain_mutations(content)
    assert mutations is not None
    assert agree(content, mutations)


UNUSUAL = [
    b"",
    b"[]",
    b"{}",
    b'{"mutations":[],"mutations":[]}',
    b'{"checks":[],"checks":[],"mutations":[]}',
    b'{"mutations":null}',
    b'{"mutations":[],"results":true}',
    b'{"mutations":[],"checks":[{"key":["a"],"versionstamp":null}]}',
    body('{"type":"sum","type":"sum","key":["a"],"value":1}'),
    body('{"type":"sum","key":["a"],"key":["a"],"value":1}'),
    body('{"type":"sum","key":["a"],"value":2,"value":1}'),
    body('{"type":"set","key":["a"],"value":"b","value":1}'),
    body('{"type":"set","key":["a"]}'),
    body('{"type":"sum","key":["a"]}'),
    body('{"type":"delete","key":["a"],"value":1}'),
    body('{"type":"sum","key":["a"],"value":true}'),
    body('{"type":"sum","key":["a"],"value":1.5}'),
    body('{"type":"sum","key":["a"],"value":1e400}'),
    body('{"type":"sum","key":["a"],"value":' + "9" * 400 + "}"),
    body('{"type":"sum","key":["a"],"value":{"__type":"bigint","value":"x"}}'),
    body('{"type":"sum","key":["a"],"value":{"__type":"bigint","value":"1","value":"2"}}'),
    body('{"key":["a"],"value":1}'),
    body('{"type":"set","key":["a"],"value":{"$now":true}}'),
    body('{"type":"set","key":["a"],"value":1.0}'),
    body('{"type":"set","key":["a"],"value":1,"expiresIn":5}'),
    body('{"type":"patch","key":["a"],"value":{}}'),
    body('{"type":"set","key":[],"value":1}'),
    body('{"type":"set","key":["a",{"$uuidv7":true}],"value":1}'),
    body('{"type":"set","key":["a",true],"value":1}'),
    body('{"type":"set","key":["a",1.0],"value":1}'),
    body('{"type":"set","key":["a",9007199254740993],"value":1}'),
    body('{"type":"set","key":["\\ud800"],"value":1}'),
    body('{"type":"set","key":["' + "x" * 1025 + '"],"value":1}'),
    body('{"type":"set","key":[' + ",".join("1" * 21) + '],"value":1}'),
    body('{"type":"set","key":["a"],"value":"' + "x" * MOST_BYTES + '"}'),
    body('{"type":"set","key":["a"],"value":' + "[" * 300 + "]" * 300 + "}"),
    body('{"type":"set","key":["a"],"value":"\xff"}').replace("\xff".encode(), b"\xff"),
    body('{"type":"set","key":["a"],"value":1}') + b"x",
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", UNUSUAL, ids=lambda content: repr(content[:60]))
def test_whatever_may_mean_something_else_is_left_to_the_slow_reader(content: bytes) -> None:
    assert plain_mutations(content) is None


_TEXTS = st.text(max_size=5) | st.sampled_from(["a", '"', "\\", "$now", "__type", "🦊"])
_NUMBERS = st.integers() | st.sampled_from([0, -0.0, 1.0, 1e20, 2.5, 2**53, -(2**53) + 1])
_PARTS = _TEXTS | _NUMBERS | st.booleans() | st.none()
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
) | st.builds(lambda text: {"__type": "bigint", "value": text}, st.integers().map(str) | _TEXTS)
_PLAIN_KEYS = st.lists(_TEXTS | st.integers(-(2**53), 2**53), min_size=1, max_size=3)
_USUAL = st.fixed_dictionaries(
    {"type": st.sampled_from(["sum", "max", "min"]), "key": _PLAIN_KEYS, "value": st.integers()}
) | st.fixed_dictionaries({"type": st.just("set"), "key": _PLAIN_KEYS, "value": _VALUES})
_ODD = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["sum", "max", "min", "set", "delete", "append", "sim"]),
        "key": st.lists(_PARTS, max_size=3),
    },
    optional={"value": _VALUES, "expiresIn": st.just(5)},
)
_BODIES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"mutations": st.lists(_USUAL, max_size=3) | st.lists(_USUAL | _ODD, max_size=3)},
    optional={"checks": st.sampled_from([[], None])},
)


def _spelled(members: Any, *, is_compact: bool, is_ascii: bool, twice: bool) -> bytes:
    """A body in one of the ways in which clients write it; perhaps with a mutation's type twice."""
    separators = (",", ":") if is_compact else (" , ", " : ")
    text = json.dumps(members, separators=separators, ensure_ascii=is_ascii)
    if twice:
        text = text.replace('"type"', '"type":"set","type"', 1)
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
@example(body('{"type":"sum","key":["a"],"value":{"__type":"bigint","value":"1","x":2}}'))
@example(body('{"type":"sum","key":["a"],"value":{"__type":"bigint","value":"1","value":"2"}}'))
def test_what_is_taken_is_taken_for_the_same(content: bytes) -> None:
    mutations = plain_mutations(content)
    assert mutations is None or agree(content, mutations)
