"""What workers of one host know together of the primary's log."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from buntime_plugin_database.engines.libsql.positions import BEYOND, NUMBERS, Positions


class SharedCounters:
    """Numbers of several workers, as the host's shared memory has them."""

    def __init__(self, workers: int) -> None:
        self.rows = [[0.0] * NUMBERS for _ in range(workers)]

    def of(self, worker: int) -> Positions:
        rows = self.rows

        class Row:
            own = rows[worker]

            def others(self) -> Iterator[tuple[int, list[float]]]:
                return ((it, row) for it, row in enumerate(rows) if it != worker)

        return Positions(Row())


def test_one_alone() -> None:
    positions = Positions()
    for told, known in ((None, None), (0, 0), (5, 5), (3, 5), (None, 5)):
        positions.saw(told)
        assert positions.known == known
    for told in (2, None):
        positions.begin_log(told)
        assert positions.known == told
    positions.stay_on_primary(7.0)
    positions.stay_on_primary(6.0)
    assert positions.primary_until == 7.0


def test_each_knows_what_the_others_saw() -> None:
    counters = SharedCounters(3)
    one, two, three = (counters.of(worker) for worker in range(3))
    one.saw(5)
    two.saw(9)
    one.saw(7)
    assert [it.known for it in (one, two, three)] == [9, 9, 9]
    three.stay_on_primary(7.0)
    assert one.primary_until == 7.0
    assert counters.of(1).known == 9  # and so does the one that takes its place


def test_a_new_log_is_news_to_all() -> None:
    counters = SharedCounters(2)
    one, two = counters.of(0), counters.of(1)
    two.saw(90)
    one.begin_log(3)
    assert (one.known, two.known) == (3, 3)
    two.saw(4)
    assert (one.known, two.known) == (4, 4)
    two.begin_log(1)
    assert (one.known, two.known) == (1, 1)


def test_while_a_log_is_new_clients_are_told_to_ask_the_primary() -> None:
    """Another host may know a higher position of the log before, and a replica still have that."""
    counters = SharedCounters(2)
    one, two = counters.of(0), counters.of(1)
    one.saw(90)
    assert (one.told, two.told) == (90, 90)
    one.begin_log(3, new_until=monotonic() + 60)
    assert (one.known, two.known) == (3, 3)
    assert (one.told, two.told) == (BEYOND, BEYOND)
    assert two.primary_until > monotonic()
    counters.rows[0][3] = monotonic() - 1
    assert (one.told, two.told) == (3, 3)


def test_nothing_is_told_where_nothing_is_known() -> None:
    positions = Positions()
    positions.begin_log(None, new_until=monotonic() + 60)
    assert positions.told is None
