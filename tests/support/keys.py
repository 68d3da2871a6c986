"""Hypothesis strategies of keys, and the order of keys in plain Python."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_keyval.wire import BigInt, Key, KeyPart, check_key
from hypothesis import strategies as st

HOSTILE_TEXTS = ["", "\0", "\0\xff", "\xff", "a", "a\0", "a\0b", "aa", "é", "\uffff", "🙂", "007"]
HOSTILE_BYTES = [b"", b"\0", b"\0\xff", b"\xff", b"\xff\0", b"a", b"\x01", b"\x02"]
HOSTILE_NUMBERS: list[int | float] = [
    0, -0.0, 1, -1, 0.1, -0.1, 255, 256, 2**53 - 1, -(2**53) + 1, 5e-324, -5e-324,
    1.7e308, -1.7e308,
]  # fmt: skip
HOSTILE_BIGINTS = [
    sign * (1 << bits) + delta for bits in (0, 7, 8, 16, 2040, 8000) for sign in (1, -1)
    for delta in (-1, 0, 1)
]  # fmt: skip


def parts() -> st.SearchStrategy[KeyPart]:
    """Key parts of every type; the ones where encodings go wrong come often."""
    texts = st.text(st.characters(codec="utf-8"), max_size=8)
    bigints = st.one_of(
        st.sampled_from(HOSTILE_BIGINTS),
        st.integers(),
        st.integers(-(256**1024) + 1, 256**1024 - 1),
    )
    return st.one_of(
        st.one_of(st.sampled_from(HOSTILE_TEXTS), texts),
        st.one_of(st.sampled_from(HOSTILE_BYTES), st.binary(max_size=8)),
        st.one_of(
            st.sampled_from(HOSTILE_NUMBERS),
            st.integers(-(2**53) + 1, 2**53 - 1),
            st.floats(allow_nan=False, allow_infinity=False),
        ),
        bigints.map(BigInt),
        st.booleans(),
    )


def keys(max_size: int = 4) -> st.SearchStrategy[Key]:
    """Checked keys."""
    return st.lists(parts(), min_size=1, max_size=max_size).map(check_key)


def order(key: Sequence[KeyPart]) -> tuple[tuple[int, object], ...]:
    """What Python compares as the contract compares keys; also tells types apart."""
    return tuple([_rank(part) for part in key])


def _rank(part: KeyPart) -> tuple[int, object]:
    if isinstance(part, bytes):
        return 0, part
    if isinstance(part, str):
        return 1, part.encode()
    if isinstance(part, bool):
        return 4, part
    if isinstance(part, BigInt):
        return 3, int(part)
    return 2, part
