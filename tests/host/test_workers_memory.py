"""What workers share: numbers, signals, and connections from one to another."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress

import pytest
from buntime_host.workers import PACE_SECONDS, REGION_BYTES, Group, Workers
from support.children import exit_code
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture
def group() -> Iterator[Group]:
    group = Group(3)
    yield group
    group.close()


@pytest.fixture
async def pair(group: Group) -> AsyncIterator[tuple[Workers, Workers]]:
    """Two workers on one event loop: they know no better."""
    yield Workers(0, group), Workers(1, group)
    for door in group.doors:
        asyncio.get_running_loop().remove_reader(door.inside)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another worker
            await asyncio.sleep(0.001)


def test_numbers_are_summed_over_the_workers(group: Group) -> None:
    one, two, three = (Workers(number, group) for number in range(3))
    first, second = one.numbers("a", 2), two.numbers("a", 2)
    first.own[0] = 1
    second.own[0], second.own[1] = 10, 0.5
    assert first.totals() == second.totals() == [11, 0.5]
    assert [(worker, [*numbers]) for worker, numbers in first.others()] == [(1, [10, 0.5])]
    late = three.numbers("a", 2)
    late.own[1] = 1
    assert first.totals() == late.totals() == [11, 1.5]
    assert one.numbers("a", 2).own[0] == 1  # the same again


def test_numbers_of_different_names_do_not_meet(group: Group) -> None:
    one, two = Workers(0, group), Workers(1, group)
    for size, name in enumerate(("a", "ab", "ä" * 32, "b"), 1):
        numbers = one.numbers(name, size)
        assert [*numbers.own] == [0] * size
        for index in range(size):
            numbers.own[index] = size
    two.numbers("a.2", 1)
    for size, name in enumerate(("a", "ab", "ä" * 32, "b"), 1):
        assert two.numbers(name, size).totals() == [size] * size
    assert two.names("a") == ["a", "a.2", "ab"]
    assert two.names("") == ["a", "a.2", "ab", "b", "ä" * 32]
    assert two.names("none") == []


def test_other_processes_see_the_numbers_and_outlive_their_writer(group: Group) -> None:
    assert not Workers(1, group).took_over
    child = os.fork()
    if child == 0:
        Workers(1, group).numbers("n", 1).own[0] = 7
        os._exit(0)
    assert exit_code(child) == 0
    assert Workers(0, group).numbers("n", 1).totals() == [7]
    successor = Workers(1, group)
    assert successor.took_over
    assert successor.numbers("n", 1).own[0] == 7


def test_limits_of_names_and_memory(group: Group) -> None:
    worker = Workers(0, group)
    with pytest.raises(ValueError, match="at most 64 bytes"):
        worker.numbers("x" * 65, 1)
    with pytest.raises(MemoryError, match="no room for the numbers 'big'"):
        worker.numbers("big", REGION_BYTES // 8)
    half = worker.numbers("half", REGION_BYTES // 16)
    with pytest.raises(MemoryError):
        worker.numbers("other half", REGION_BYTES // 16)
    assert half.totals()[0] == 0
    assert Workers(1, group).numbers("other half", REGION_BYTES // 16).totals()[0] == 0


def test_a_process_that_has_no_others() -> None:
    alone = Workers.alone()
    assert (alone.number, alone.count, alone.took_over) == (0, 1, False)
    numbers = alone.numbers("a", 1)
    numbers.own[0] += 2
    assert numbers.totals() == [2]
    heard: list[int] = []
    signal = alone.signal("b")
    signal.listen(lambda: heard.append(1))
    signal.send()
    assert heard == []


async def test_a_bell_is_heard_by_the_others_who_listen(pair: tuple[Workers, Workers]) -> None:
    one, two = pair
    heard: list[str] = []
    signal, same = one.signal("b"), two.signal("b")
    other = two.signal("other")
    other.listen(lambda: heard.append("wrong signal"))
    signal.listen(lambda: heard.append("one"))
    same.listen(lambda: heard.append("two"))
    signal.send()
    await until(lambda: heard)
    same.send()
    await until(lambda: len(heard) == 2)
    assert heard == ["two", "one"]
    same.listen(None)
    signal.send()
    same.send()
    await until(lambda: len(heard) == 3)
    await asyncio.sleep(5 * PACE_SECONDS)
    assert heard == ["two", "one", "one"]


async def test_many_rings_are_heard_once_and_the_last_one_is_not_lost(
    pair: tuple[Workers, Workers],
) -> None:
    one, two = pair
    written = seen = looks = 0

    def look() -> None:
        nonlocal seen, looks
        seen, looks = written, looks + 1

    signal = one.signal("b")
    two.signal("b").listen(look)
    for round_ in range(50):
        for _ in range(100):
            written += 1
            signal.send()
        if round_ % 5 == 0:
            await asyncio.sleep(0)
    await until(lambda: seen == written)
    assert looks < 100


async def test_a_full_door_does_not_deafen(pair: tuple[Workers, Workers], group: Group) -> None:
    one, two = pair
    heard: list[int] = []
    signal = one.signal("b")
    two.signal("b").listen(lambda: heard.append(1))
    with suppress(BlockingIOError):
        while True:
            group.doors[1].outside.send(b"x")
    signal.send()
    await until(lambda: heard)
    heard.clear()
    signal.send()
    await until(lambda: heard)


async def test_whoever_takes_a_place_over_hears(
    group: Group, pair: tuple[Workers, Workers]
) -> None:
    one, two = pair
    signal = one.signal("b")
    two.signal("b").listen(lambda: None)
    signal.send()  # never heard: its process dies here
    asyncio.get_running_loop().remove_reader(group.doors[1].inside)
    heard: list[int] = []
    successor = Workers(1, group)
    successor.signal("b").listen(lambda: heard.append(1))
    signal.send()
    await until(lambda: heard)


async def test_connections_from_one_worker_to_another(pair: tuple[Workers, Workers]) -> None:
    one, two = pair
    arrived: list[tuple[socket.socket, Sequence[str]]] = []
    two.serve("a", lambda sock, *about: arrived.append((sock, about)))
    with await one.connect(1, "a", "2001:db8::1", 5) as ours, await one.connect(1, "a") as more:
        await until(lambda: len(arrived) == 2)
        assert [about for _, about in arrived] == [("2001:db8::1", "5"), ()]
        for sock, text in zip((ours, more), (b"a", b"b"), strict=True):
            sock.send(text)
        for (sock, _), text in zip(arrived, (b"a", b"b"), strict=True):
            assert sock.recv(10) == text
            sock.close()


async def test_a_worker_that_takes_no_connections(
    pair: tuple[Workers, Workers], group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = pair
    two.signal("b")  # it hears, but serves nothing yet
    with await one.connect(1, "a") as refused:
        assert await asyncio.get_running_loop().sock_recv(refused, 10) == b""
    two.serve("a", lambda _: None)
    two.serve("a", None)
    with await one.connect(1, "a") as refused:
        assert await asyncio.get_running_loop().sock_recv(refused, 10) == b""
    monkeypatch.setattr("buntime_host.workers.CONNECT_ATTEMPTS", 20)
    with suppress(BlockingIOError):  # nobody reads at the third
        while True:
            group.doors[2].outside.send(b"x")
    with pytest.raises(ConnectionError, match="worker 2 does not answer"):
        await one.connect(2, "a")


def test_memory_is_one_for_all_workers(group: Group) -> None:
    one, two = (Workers(number, group).memory("m", 16) for number in range(2))
    other = Workers(1, group).memory("other", 8)
    with one.locked() as data:
        data[0] = 7
    with two.locked() as data, other.locked() as elsewhere:
        assert (bytes(data), bytes(elsewhere)) == (b"\7" + bytes(15), bytes(8))
    with pytest.raises(ValueError, match="the memory 'm' has 16 bytes, not 17"):
        Workers(2, group).memory("m", 17)
    with pytest.raises(MemoryError, match="no room for the memory 'large'"):
        Workers(2, group).memory("large", 2**40)


def test_memory_of_one_alone() -> None:
    workers = Workers.alone()
    with workers.memory("m", 4).locked() as data:
        data[0] = 7
    with workers.memory("m", 4).locked() as data:
        assert bytes(data) == b"\7\0\0\0"
    with pytest.raises(ValueError, match="the memory 'm' has 4 bytes, not 5"):
        workers.memory("m", 5)


def test_no_worker_comes_between_reading_and_writing(group: Group) -> None:
    """Each of three processes adds one so many times; without the lock some would be lost."""
    times = 2000
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            memory = Workers(number, group).memory("sum", 8)
            for _ in range(times):
                with memory.locked() as data:
                    data[:8] = (int.from_bytes(data[:8]) + 1).to_bytes(8)
            os._exit(0)
        children.append(child)
    assert [exit_code(child) for child in children] == [0, 0, 0]
    with Workers(0, group).memory("sum", 8).locked() as data:
        assert int.from_bytes(data[:8]) == 3 * times


def test_memory_that_a_killed_worker_has_locked_is_taken_over(
    group: Group, caplog: pytest.LogCaptureFixture
) -> None:
    child = os.fork()
    if child == 0:
        with Workers(1, group).memory("m", 8).locked():
            os._exit(1)
    assert exit_code(child) == 1
    memory = Workers(0, group).memory("m", 8)
    with memory.locked() as data:
        data[0] = 1
    assert "taken over" in caplog.text
    caplog.clear()
    with memory.locked() as data:
        assert data[0] == 1
    assert not caplog.text
