"""Hypothesis strategies of values, and values with the types that equality does not tell apart."""

from __future__ import annotations

from typing import Any

from buntime_keyval.wire import BigInt
from hypothesis import strategies as st


def values(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    """Values of every type that a store takes, with these among their numbers."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53) + 1, 2**53 - 1),
        st.integers().map(BigInt),
        floats,
        st.text(st.characters(codec="utf-8"), max_size=8),
        st.binary(max_size=8),
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.text("ab_é", max_size=3), inner, max_size=4),
        ),
        max_leaves=10,
    )


def shape(value: Any) -> Any:
    """The value with its types."""
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    return type(value), value
