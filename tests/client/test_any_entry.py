"""Whatever may be an entry, through the client and a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import Kv
from hypothesis import given, settings
from hypothesis import strategies as st
from support.keys import keys as any_keys

pytestmark = pytest.mark.slow


@settings(max_examples=40, deadline=None)
@given(key=any_keys(), value=st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")) | st.binary(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=6,
))  # fmt: skip
def test_any_key_and_value_come_back(shared_server: Any, key: Any, value: Any) -> None:
    with Kv(shared_server.api) as kv:
        kv.set(key, value)
        entry = kv.get(key)
        assert repr(entry.key) == repr(tuple(key))
        assert entry.value == value
