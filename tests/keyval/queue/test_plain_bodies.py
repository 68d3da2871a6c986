"""Bodies that are read in one step mean what they mean where they are read in full."""

from __future__ import annotations

import json
from typing import Any

import pytest
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.canonical import text_of
from buntime_plugin_keyval.faces.http.routes import StoreRoutes
from buntime_plugin_keyval.features.queue.http import NewMessageBody, Settlement
from buntime_plugin_keyval.requests.shape import read_shape
from buntime_plugin_keyval.service import FEATURES
from hypothesis import example, given
from hypothesis import strategies as st

ROUTES = StoreRoutes(FEATURES).paths
ENQUEUE = ROUTES["/queue/enqueue"]["POST"]
ACK = ROUTES["/queue/ack"]["POST"]
NOW_MS = 1_700_000_000_000

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
MEMBERS = ("id", "lease", "drain", "value", "options", "queue", "strict", "other")


def in_full(route: Any, content: bytes) -> Any:
    """What is read of a body step by step; the error if it is wrong."""
    try:
        return read_shape(route.shape, route.place, b"", content)
    except InvalidInput as error:
        return str(error)


def text(value: Any) -> str:
    try:
        return text_of(value, NOW_MS)
    except InvalidInput as error:
        return str(error)


def agree(content: bytes) -> None:
    message = ENQUEUE.quick(content) if ENQUEUE.quick else None
    if message is not None:
        full = in_full(ENQUEUE, content)
        assert isinstance(full, NewMessageBody)
        assert (text(message.value), message.options) == (text(full.value), full.options)
    settlement = ACK.quick(content) if ACK.quick else None
    if settlement is not None:
        assert settlement == in_full(ACK, content)


@given(PLAIN)
@example({"$now": True})
@example({"a": 1.0})
@example({"__type": "bigint", "value": "1"})
@example({"$uuidv7": True})
def test_any_value(value: Any) -> None:
    agree(b'{"value":%b}' % json.dumps(value).encode())
    agree(b'{"value":%b}' % json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


@given(st.lists(st.tuples(st.sampled_from(MEMBERS), PLAIN), max_size=4))
@example([("id", "a"), ("id", "b")])
@example([("id", "a"), ("drain", True), ("drain", False)])
@example([("id", "a"), ("lease", "")])
@example([("id", '"'), ("lease", "b")])
@example([("value", 1), ("value", 2)])
def test_any_members(members: list[tuple[str, Any]]) -> None:
    agree(b"{%b}" % ",".join(f'"{name}":{json.dumps(it)}' for name, it in members).encode())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"value":}',
        b'{"value":1}}',
        b'{"value":1,"options":{}}',
        b'{"value":{"a":1},"options":{"queue":"b"}}',
        b'{"value":"a","value":"b"}',
        b'{"value":"\\ud800"}',
        b'{"value":"\xff"}',
        b'{"value":1e400}',
        b'{"value":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"value":' + b"9" * 400 + b"}",
        b'{"value":NaN}',
        b'{"id":""}',
        b'{"id":1}',
        b'{"id":"a","lease":null}',
        b'{"id":"\\ud800"}',
        b'{"id":"a","id":"a"}',
        b'{"id":"a"} {"id":"b"}',
    ],
)
def test_what_is_not_plain_is_read_in_full(content: bytes) -> None:
    for route in (ENQUEUE, ACK):
        assert route.quick is not None
        assert route.quick(content) is None


def test_what_most_send_is_plain() -> None:
    assert ENQUEUE.quick is not None
    message = ENQUEUE.quick(b'{"value": {"a" : [1, "\xc3\xa4"]} }')
    assert message is None or text(message.value) == '{"a":[1,"ä"]}'
    message = ENQUEUE.quick(b'{"value":{"a" : [1, "\xc3\xa4"]} }')
    assert message is not None
    assert text(message.value) == '{"a":[1,"ä"]}'
    assert ACK.quick is not None
    assert ACK.quick(b'{"id":"a"}') == Settlement(id="a")
    wanted = Settlement(id="a", lease="b", drain=True)
    assert ACK.quick(b'{"id":"a","drain":true,"lease":"b"}') == wanted
