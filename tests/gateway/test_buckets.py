"""Token buckets with a clock of the test's own; those of a process alone and those of workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from buntime_host.workers import Group, Workers
from buntime_plugin_gateway.limits.buckets import Buckets, OwnBuckets, rate_of
from buntime_plugin_gateway.limits.shared_buckets import KEY_BYTES, PLACES, SharedBuckets

MOST = 64
RATE = rate_of(10, 60.0)


@pytest.fixture
def group() -> Iterator[Group]:
    group = Group(2)
    yield group
    group.close()


@pytest.fixture(params=["own", "shared"])
def buckets(request: pytest.FixtureRequest, group: Group) -> Buckets:
    return OwnBuckets(MOST) if request.param == "own" else SharedBuckets(Workers(0, group), MOST)


def allowed(buckets: Buckets, key: str, times: int, now: float, pause: float = 6.0) -> int:
    """How many of so many requests at once get through; ten in a minute are the limit."""
    rate = rate_of(10, 10 * pause)
    return sum(buckets.take(key, rate, now)[0] for _ in range(times))


def test_a_bucket_is_full_at_first_and_fills_evenly(buckets: Buckets) -> None:
    assert allowed(buckets, "a", 25, now=100.0) == 10
    assert allowed(buckets, "a", 5, now=105.9) == 0
    assert allowed(buckets, "a", 5, now=106.0) == 1
    assert allowed(buckets, "a", 5, now=118.0) == 2
    assert allowed(buckets, "a", 25, now=1000.0) == 10


def test_who_is_refused_loses_nothing_by_asking(buckets: Buckets) -> None:
    assert allowed(buckets, "a", 10, now=100.0) == 10
    assert allowed(buckets, "a", 1000, now=103.0) == 0
    assert allowed(buckets, "a", 1, now=106.0) == 1


@pytest.mark.parametrize(("capacity", "window"), [(1, 1.0), (3, 1.0), (7, 60.0), (1000, 0.1)])
def test_odd_pauses_let_all_of_them_through(buckets: Buckets, capacity: int, window: float) -> None:
    rate = rate_of(capacity, window)
    results = [buckets.take("a", rate, 12345.678)[0] for _ in range(capacity + 3)]
    assert results == [True] * capacity + [False] * 3


def test_each_key_has_its_own(buckets: Buckets) -> None:
    assert allowed(buckets, "a", 25, now=100.0) == 10
    assert allowed(buckets, "b", 3, now=100.0) == 3
    assert buckets.forget("a")
    assert not buckets.forget("a")
    assert allowed(buckets, "a", 25, now=100.0) == 10
    assert allowed(buckets, "b", 25, now=100.0) == 7
    assert buckets.clear() == 2
    assert allowed(buckets, "b", 25, now=100.0) == 10


def test_who_asked_last_may_begin_anew(buckets: Buckets) -> None:
    for begin_anew in (lambda: buckets.forget("a"), buckets.clear, lambda: buckets.sweep(1e6)):
        assert allowed(buckets, "b", 1, now=100.0) == 1
        assert allowed(buckets, "a", 25, now=100.0) == 10
        begin_anew()
        assert allowed(buckets, "a", 25, now=100.0) == 10
        buckets.clear()


async def test_who_asked_last_is_shown_first(buckets: Buckets) -> None:
    for moment, key in enumerate(["a", "b", "c", "a"]):
        buckets.take(key, RATE, 100.0 + moment)
    shown = await buckets.recent(2)
    assert [(state.key, state.asked_at, state.capacity) for state in shown] == [
        ("a", 103.0, 10),
        ("c", 102.0, 10),
    ]
    assert [state.key for state in await buckets.recent(99)] == ["a", "c", "b"]


def test_full_buckets_are_swept_and_others_stay(buckets: Buckets) -> None:
    allowed(buckets, "quick", 1, now=100.0)
    allowed(buckets, "busy", 10, now=100.0)
    assert buckets.sweep(105.0) == 2
    assert buckets.sweep(107.0) == 1
    assert allowed(buckets, "busy", 25, now=107.0) == 1
    assert buckets.sweep(1000.0) == 0


def test_11_buckets_are_bounded_and_who_asks_stays(buckets: Buckets) -> None:
    """The original kept all of them."""
    assert allowed(buckets, "steady", 10, now=0.5) == 10
    for number in range(20 * MOST):
        now = 1.0 + number * 0.001
        buckets.take(f"stranger {number}", RATE, now)
        assert not buckets.take("steady", RATE, now)[0]
    assert buckets.sweep(2.0) <= MOST


def test_a_worker_knows_what_others_took(group: Group) -> None:
    one, two = (SharedBuckets(Workers(number, group), MOST) for number in range(2))
    assert allowed(one, "a", 4, now=100.0) == 4
    assert allowed(two, "a", 25, now=100.0) == 6
    assert allowed(one, "a", 25, now=100.0) == 0
    assert two.forget("a")
    assert allowed(one, "a", 25, now=100.0) == 10
    assert two.clear() == 1


async def test_long_keys_are_told_apart(group: Group) -> None:
    shared = SharedBuckets(Workers(0, group), MOST)
    long = "ü" * KEY_BYTES
    assert allowed(shared, f"{long}1", 25, now=1.0) == 10
    assert allowed(shared, f"{long}2", 25, now=1.0) == 10
    assert allowed(shared, f"{long}1", 25, now=1.0) == 0
    shown = await shared.recent(10)
    assert all(state.key.startswith("üüü") for state in shown)
    assert len({state.key for state in shown}) == 2


async def test_a_new_key_takes_the_place_that_is_missed_least(group: Group) -> None:
    shared = SharedBuckets(Workers(0, group), PLACES)  # one set
    for number in range(PLACES):
        allowed(shared, f"{number}", 10, now=10.0 + number)
    shared.take("full again", rate_of(10, 0.01), 30.0)
    assert "0" not in {state.key for state in await shared.recent(99)}
    shared.take("next", RATE, 31.0)
    assert "full again" not in {state.key for state in await shared.recent(99)}
