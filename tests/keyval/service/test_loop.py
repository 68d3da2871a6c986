"""The loop of all background work: its pauses are those of a clock that the tests own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial

import pytest
from buntime_database import DatabaseBusy
from buntime_plugin_keyval.engine.loop import (
    BEAT_SECONDS,
    EARLY_SECONDS,
    Loop,
    until_beat,
    until_moment,
    until_set,
)
from buntime_plugin_keyval.engine.rest import Rest
from keyval.service.world import until
from support.waiting import PATIENCE

LOGGER = logging.getLogger("test.loop")
NAME = "keyval-test"


class FakePause:
    """Passes when its time is let pass, or its event is set; `asked` are the seconds so far."""

    def __init__(self) -> None:
        self.asked: list[float | None] = []
        self._passed = asyncio.Event()

    async def __call__(self, event: asyncio.Event, seconds: float | None) -> None:
        self.asked.append(seconds)
        self._passed.clear()
        waits = [asyncio.create_task(it.wait()) for it in (event, self._passed)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def let_pass(self) -> None:
        self._passed.set()


async def settle() -> None:
    """Let everything happen that waits for nobody."""
    for _ in range(20):
        await asyncio.sleep(0)


def state_of(loop: Loop) -> tuple[bool, bool]:
    return loop.is_running, loop.has_ended


def loop_of(
    step: Callable[[], Awaitable[float | None]], pause: FakePause, *, finishes_step: bool = False
) -> Loop:
    return Loop(
        step,
        NAME,
        logger=LOGGER,
        complaint="It does not work: %s",
        retry_s=7.0,
        finishes_step=finishes_step,
        pause=pause,
    )


class Steps:
    """Does what it is told to, a step at a time, the last of it for ever."""

    def __init__(self, *results: float | Exception | None) -> None:
        self._results = list(results)
        self.taken = 0

    async def __call__(self) -> float | None:
        self.taken += 1
        result = self._results.pop(0) if len(self._results) > 1 else self._results[0]
        if isinstance(result, Exception):
            raise result
        return result


async def test_a_step_follows_when_the_pause_that_was_asked_for_is_over() -> None:
    pause, steps = FakePause(), Steps(3.0, 0, None)
    loop = loop_of(steps, pause)
    loop.start()
    loop.start()
    await settle()
    assert (steps.taken, pause.asked) == (1, [3.0])
    pause.let_pass()
    await settle()
    assert (steps.taken, pause.asked) == (3, [3.0, None])  # no pause at all after 0
    await loop.stop()


async def test_a_wake_up_ends_the_pause() -> None:
    pause, steps = FakePause(), Steps(None)
    loop = loop_of(steps, pause)
    loop.start()
    for taken in range(1, 4):
        await settle()
        assert steps.taken == taken
        loop.wake()
    await loop.stop()


async def test_a_wake_up_during_a_step_is_not_lost() -> None:
    pause = FakePause()
    taken = 0

    async def step() -> None:
        nonlocal taken
        taken += 1
        if taken == 1:
            loop.wake()

    loop = loop_of(step, pause)
    loop.start()
    await settle()
    assert taken == 2
    await loop.stop()


async def test_a_failure_is_repeated_after_its_pause_whoever_wakes_the_loop() -> None:
    pause, steps = FakePause(), Steps(DatabaseBusy("locked"), None)
    loop = loop_of(steps, pause)
    loop.start()
    await settle()
    loop.wake()
    await settle()
    assert (steps.taken, pause.asked) == (1, [7.0])
    pause.let_pass()
    await settle()
    assert (steps.taken, pause.asked) == (2, [7.0, None])
    await loop.stop()


async def test_the_same_failure_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    locked, full = DatabaseBusy("locked"), DatabaseBusy("full")
    pause, steps = FakePause(), Steps(locked, locked, full, full, 1.0, full, None)
    loop = loop_of(steps, pause)
    loop.start()
    for _ in range(7):
        await settle()
        pause.let_pass()
    await settle()
    await loop.stop()
    told = [it.getMessage() for it in caplog.records if it.name == LOGGER.name]
    assert told == [f"It does not work: {what}" for what in ("locked", "full", "full")]


async def test_any_other_exception_ends_it_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    loop = loop_of(Steps(ValueError("a fault")), FakePause())
    assert state_of(loop) == (False, False)
    loop.start()
    assert state_of(loop) == (True, False)
    await settle()
    assert state_of(loop) == (True, True)
    loop.start()
    await settle()
    assert state_of(loop) == (
        True,
        True,
    )  # for the health of the store to tell, until it is stopped
    (record,) = [it for it in caplog.records if it.name == LOGGER.name]
    assert record.getMessage() == f"The background task {NAME} has ended"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a fault"
    await loop.stop()
    assert state_of(loop) == (False, False)


@pytest.mark.parametrize("fails", [False, True])
async def test_stopping_ends_every_pause_and_a_start_begins_anew(fails: bool) -> None:
    steps = Steps(DatabaseBusy("locked")) if fails else Steps(None)
    loop = loop_of(steps, FakePause())
    await loop.stop()  # of what never began
    for life in range(1, 4):
        loop.start()
        assert state_of(loop) == (True, False)
        await settle()
        assert steps.taken == life
        await loop.stop()
        await loop.stop()
        assert state_of(loop) == (False, False)
        assert NAME not in {task.get_name() for task in asyncio.all_tasks()}


@pytest.mark.parametrize("finishes_step", [False, True])
async def test_a_step_under_way_is_finished_where_that_is_asked_for(finishes_step: bool) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()
    ends: list[str] = []

    async def step() -> None:
        began.set()
        try:
            await may_end.wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        ends.append("finished")

    loop = loop_of(step, FakePause(), finishes_step=finishes_step)
    loop.start()
    await began.wait()
    stopping = asyncio.create_task(loop.stop())
    await settle()
    assert stopping.done() is not finishes_step
    may_end.set()
    async with asyncio.timeout(PATIENCE):
        await stopping
    assert ends == ["finished" if finishes_step else "cancelled"]


async def test_one_that_is_stopped_at_its_last_step_does_not_hold_up_the_next_life() -> None:
    may_end = asyncio.Event()
    began = 0

    async def step() -> None:
        nonlocal began
        began += 1
        await may_end.wait()

    loop = loop_of(step, FakePause(), finishes_step=True)
    loop.start()
    await settle()
    loop.stop_soon()
    loop.start()
    await settle()
    assert began == 2
    may_end.set()
    await settle()
    assert began == 2  # the first takes no further step, the second sleeps
    assert [it.get_name() for it in asyncio.all_tasks()].count(NAME) == 1
    await loop.stop()


async def test_whoever_is_cancelled_while_it_stops_a_loop_is_cancelled() -> None:
    may_end = asyncio.Event()

    async def step() -> None:
        await may_end.wait()

    loop = loop_of(step, FakePause(), finishes_step=True)
    loop.start()
    await settle()
    stopping = asyncio.create_task(loop.stop())
    await settle()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    may_end.set()
    await loop.stop()


async def test_a_cancellation_that_meets_the_wake_up_is_not_swallowed() -> None:
    for _ in range(20):
        loop = Loop(Steps(None), NAME, logger=LOGGER, complaint="%s", pause=until_set)
        loop.start()
        await settle()
        loop.wake()
        async with asyncio.timeout(PATIENCE):
            await loop.stop()


async def test_it_knows_nothing_of_the_request_that_started_it() -> None:
    asked = ContextVar("asked", default="nothing")
    seen: list[str] = []

    async def step() -> None:
        seen.append(asked.get())

    asked.set("a strong read")
    loop = loop_of(step, FakePause())
    loop.start()
    await settle()
    assert seen == ["nothing"]
    await loop.stop()


async def test_nobody_is_woken_while_everything_is_still() -> None:
    steps, asked = Steps(0.0005), 0
    answers: list[bool | DatabaseBusy] = []

    def is_still() -> bool:
        nonlocal asked
        asked += 1
        answer = answers.pop() if answers else True
        if isinstance(answer, DatabaseBusy):
            raise answer
        return answer

    loop = Loop(steps, NAME, logger=LOGGER, complaint="%s", is_still=is_still)
    loop.start()
    await until(lambda: asked >= 20)
    assert steps.taken == 1
    answers.append(False)
    await until(lambda: steps.taken == 2)
    answers.append(DatabaseBusy("locked"))
    await until(lambda: steps.taken == 3)
    loop.wake()
    await until(lambda: steps.taken == 4)
    await loop.stop()
    assert steps.taken == 4


async def test_nobody_looks_while_word_of_writes_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("buntime_plugin_keyval.engine.rest.REST_SECONDS", 3600.0)
    monkeypatch.setattr("buntime_plugin_keyval.engine.rest.SETTLED_SECONDS", 0.0)
    steps, looks, told = Steps(0.001), 0, list[Callable[[], None]]()

    def is_still() -> bool:
        nonlocal looks
        looks += 1
        return True

    def when_written(call: Callable[[], None]) -> bool:
        told.append(call)
        return True

    def has_looked(times: int) -> bool:
        return looks == times

    rest = Rest(when_written)
    loop = Loop(steps, NAME, logger=LOGGER, complaint="%s", is_still=is_still, rest=rest)
    loop.start()
    for words in range(1, 4):
        await until(partial(has_looked, 2 * words))
        await asyncio.sleep(0.05)
        assert (looks, len(told)) == (2 * words, words)
        told[-1]()
    loop.wake()
    await until(lambda: steps.taken == 2)
    await loop.stop()
    told[-1]()  # to nobody


async def test_looks_go_on_for_a_while_after_word_of_writes_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was being written before that may be committed yet."""
    loop, asked = asyncio.get_running_loop(), list[Callable[[], None]]()

    def when_written(call: Callable[[], None]) -> bool:
        asked.append(call)
        return True

    rest, words = Rest(when_written), 0

    def disturbed() -> None:
        nonlocal words
        words += 1

    rest.disturbed = disturbed
    for begin in (100.0, 200.0, 300.0):
        expected = [(0.0, 0.1), (1.0, 0.1), (1.9, 0.1), (2.0, 1.0), (60.0, 1.0)]
        pauses = []
        with monkeypatch.context() as at:
            for passed, _ in expected:
                at.setattr(loop, "time", lambda now=begin + passed: now)
                pauses.append((passed, rest.pause(0.1)))
        assert pauses == expected
        asked[-1]()
        assert len(asked) == words == begin / 100
    due = [0.05, 0.4, 60.0]
    rest = Rest(when_written, due.pop)
    with monkeypatch.context() as at:
        at.setattr(loop, "time", lambda: 400.0)
        assert rest.pause(0.1) == 0.1
        at.setattr(loop, "time", lambda: 410.0)
        assert [rest.pause(0.1) for _ in range(3)] == [1.0, 0.4, 0.1]
    assert Rest(when_written).pause(2.0) == 2.0
    assert len(asked) == 4, "who looks seldom anyway needs no word"


async def test_without_word_of_writes_looks_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buntime_plugin_keyval.engine.rest.SETTLED_SECONDS", 0.0)
    looks = 0

    def is_still() -> bool:
        nonlocal looks
        looks += 1
        return True

    rest = Rest(lambda _: False)
    loop = Loop(Steps(0.0005), NAME, logger=LOGGER, complaint="%s", is_still=is_still, rest=rest)
    loop.start()
    await until(lambda: looks >= 20)
    await loop.stop()


@pytest.mark.parametrize("seconds", [0.001, 0.05, 0.3, 1.0])
def test_those_who_pause_for_so_long_wake_together(seconds: float) -> None:
    """Whenever they began, and if a timer comes a little early, not twice for one moment."""
    moments = set()
    for number in range(50):
        now = 7_200 + seconds * number / 50
        pause = until_moment(now, seconds)
        assert 0 < pause < seconds + EARLY_SECONDS + 1e-6
        moments.add(round((now + pause) / seconds, 3))
    assert moments <= {round(7_200 / seconds) + number for number in range(1, 6)}
    assert until_moment(7_200 - EARLY_SECONDS / 2, seconds) > EARLY_SECONDS / 2


@pytest.mark.parametrize("heartbeat_s", [5.0, 15.0, 30.0])
async def test_heartbeats_come_together(
    heartbeat_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as at:
        for now in (100.0, 100.001, 100.0499, 123.456):
            at.setattr(loop, "time", lambda now=now: now)
            pause = until_beat(heartbeat_s)
            assert heartbeat_s - BEAT_SECONDS <= pause <= heartbeat_s
            beats = (now + pause) / BEAT_SECONDS
            assert abs(beats - round(beats)) < 1e-6
        assert until_beat(1.0) == 1.0
