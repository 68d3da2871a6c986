"""Batons cannot be made, changed or kept over a restart."""

from __future__ import annotations

from buntime_plugin_database.hrana.batons import Batons
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.integers(0, 2**64 - 1)
BATONS = Batons()


@given(NUMBERS, NUMBERS)
def test_a_baton_is_read_as_it_was_issued(stream: int, sequence: int) -> None:
    baton = BATONS.issue(stream, sequence)
    assert BATONS.read(baton) == (stream, sequence)
    assert Batons().read(baton) is None


@given(NUMBERS, st.data())
def test_any_change_is_noticed(stream: int, data: st.DataObject) -> None:
    baton = BATONS.issue(stream, 1)
    place = data.draw(st.integers(0, len(baton)))
    changed = data.draw(
        st.sampled_from([baton[:place], baton[:place] + data.draw(st.text()) + baton[place + 1 :]])
    )
    assert (BATONS.read(changed) is None) is (changed != baton)


@given(st.text())
def test_any_other_text_is_none(text: str) -> None:
    assert BATONS.read(text) is None
