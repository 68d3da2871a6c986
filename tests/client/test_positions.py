"""What a client remembers of positions."""

from __future__ import annotations

import threading

import pytest
from buntime_keyval._positions import LastPosition

OLD, NEW = "90", "5"


@pytest.mark.parametrize(
    ("exchanges", "newest"),
    [
        ([(None, "5"), (None, "7"), (None, "6")], 7),
        ([(None, "5"), ("5", None), ("5", "5"), ("5", "8")], 8),
        ([(None, OLD), (OLD, NEW)], 5),  # a new log
        ([(None, OLD), (OLD, "91"), (OLD, NEW)], 5),
        ([(None, OLD), (OLD, NEW), (OLD, "4")], 5),  # answers of the same time
        ([(None, OLD), (OLD, NEW), (NEW, "7"), (OLD, "6")], 7),
        ([(None, "5"), (None, "4")], 5),
        ([(None, "x"), (None, ""), (None, "-1"), (None, "1.5"), (None, "9" * 16)], None),
        ([("mine", "5"), ("mine", "4")], 5),
    ],
)
def test_what_is_remembered(
    exchanges: list[tuple[str | None, str | None]], newest: int | None
) -> None:
    position = LastPosition()
    for sent, told in exchanges:
        position.heard(sent, told)
    assert position.newest == newest


def test_threads_never_make_it_fall() -> None:
    position = LastPosition()

    def hear(first: int) -> None:
        for number in range(first, 20_000, 4):
            position.heard(None, str(number))
            assert (position.newest or 0) >= number

    threads = [threading.Thread(target=hear, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert position.newest == 19_999
