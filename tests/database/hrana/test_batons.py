"""Batons cannot be made, changed or kept over a restart."""

from __future__ import annotations

from buntime_host import Workers
from buntime_host.workers import Group
from buntime_plugin_database.faces.hrana.batons import Batons
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.integers(0, 2**64 - 1)
BATONS = Batons(Workers.alone())


@given(NUMBERS, NUMBERS)
def test_a_baton_is_read_as_it_was_issued(stream: int, sequence: int) -> None:
    baton = BATONS.issue(stream, sequence)
    assert BATONS.read(baton) == (stream, sequence)
    assert Batons(Workers.alone()).read(baton) is None


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


def test_with_several_workers_a_baton_says_whose_it_is() -> None:
    group = Group(3)
    try:
        one, two = Batons(Workers(1, group)), Batons(Workers(2, group))
        baton = one.issue(7, 8)
        assert one.read(baton) == (7, 8)
        assert one.worker_of(baton) is None
        assert two.worker_of(baton) == 1
        assert two.read(baton) is None
        for strange in ("", ".", "2.", "3.abc", "x.abc", "-1.abc", "01.abc", baton[2:]):
            assert two.worker_of(strange) is None
            assert two.read(strange) is None
        assert two.worker_of("0.abc") == 0
    finally:
        group.close()
