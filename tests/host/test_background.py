"""What plugins do in the background: watched, counted, in time, once over all, and ended."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING, Any

import pytest
from buntime_host.plugins.background import Background, Claim, Surroundings
from buntime_host.testing import FakeClock

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost


class Failures:
    def __init__(self) -> None:
        self.count = 0

    def add(self) -> None:
        self.count += 1


def make_background(
    clock: FakeClock,
    failures: Failures | None = None,
    *,
    claim: Claim | None = None,
    is_first_worker: bool = True,
) -> Background:
    return Background(
        Surroundings(
            plugin="p",
            logger=logging.getLogger("plugin:p"),
            clock=clock,
            count_failure=(failures or Failures()).add,
            claim=lambda: claim,
            is_first_worker=is_first_worker,
        )
    )


async def test_a_failure_is_logged_with_its_traceback_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures = Failures()
    background = make_background(FakeClock(), failures)

    async def work() -> None:
        raise ValueError("no disk")

    await background.spawn(work(), name="backup")
    (record,) = caplog.records
    assert record.getMessage() == "backup failed"
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no disk"
    assert failures.count == 1


async def test_what_failed_is_started_again_later_and_later() -> None:
    clock, failures = FakeClock(), Failures()
    background = make_background(clock, failures)
    starts: list[float] = []

    async def work() -> None:
        starts.append(clock.monotonic())
        if len(starts) == 8:
            await clock.sleep(61)  # it has lived: from here on it begins anew
        if len(starts) < 10:
            raise SystemExit(3)

    task = background.spawn(work, restart=True)
    for _ in range(400):
        await clock.advance(1)
    await task
    pauses = [round(later - one) for one, later in itertools.pairwise(starts)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 62, 2]
    assert failures.count == 9


async def test_what_cannot_be_spawned() -> None:
    background = make_background(FakeClock())

    async def work() -> None:
        pass

    with pytest.raises(TypeError, match="runs only once: to restart it, give spawn"):
        background.spawn(work(), restart=True)
    with pytest.raises(TypeError, match="a function that makes one, not int"):
        background.spawn(5)  # type: ignore[arg-type]
    await background.end(1)
    with pytest.raises(RuntimeError, match="p shuts down"):
        background.spawn(work())
    with pytest.raises(RuntimeError, match="p shuts down"):
        background.every("1s", work)


async def test_what_recurs_goes_on_after_a_failure_and_leaves_missed_times_out() -> None:
    clock, failures = FakeClock(), Failures()
    background = make_background(clock, failures)
    times: list[float] = []

    async def work() -> None:
        times.append(clock.monotonic())
        if len(times) == 1:
            raise ValueError
        if len(times) == 2:
            await clock.sleep(25)

    background.every("10s", work)
    for _ in range(60):
        await clock.advance(1)
    assert times == [10, 20, 50, 60]
    assert failures.count == 1
    await background.end(1)
    await clock.advance(100)
    assert len(times) == 4


async def test_plain_functions_recur_too() -> None:
    clock = FakeClock()
    calls: list[int] = []
    make_background(clock).every(500, lambda: calls.append(1))
    await clock.advance(2)
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("interval", "once", "says"),
    [
        ("soon", False, 'must be a number of milliseconds or a duration such as "30s", received'),
        (0, False, "must be more than 0, received 0"),
        (500, True, "must be 1s with once=True, received 500"),
    ],
)
async def test_intervals_that_are_none(interval: Any, once: bool, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_background(FakeClock()).every(interval, print, once=once)


class Store:
    """Claims as hosts with one store have them."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.until: dict[str, float] = {}
        self.broken = False

    async def claim(self, name: str, seconds: float) -> bool:
        if self.broken:
            raise OSError("away")
        if self.until.get(name, 0) > self.clock.wall():
            return False
        self.until[name] = self.clock.wall() + seconds
        return True


async def test_one_of_many_hosts_does_it_once_in_each_interval(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    store = Store(clock)
    done: list[tuple[str, float]] = []
    hosts: list[Background] = []
    for name in "abc":

        def work(name: str = name) -> None:
            done.append((name, clock.wall() % 60))

        hosts.append(make_background(clock, claim=store.claim))
        hosts[-1].every("1m", work, name="report", once=True)
        await clock.advance(7)  # they start at different times
    for _ in range(5):
        await clock.advance(60)
    assert len(done) == 5
    assert {second for _, second in done} == {0}
    await hosts[0].end(1)  # whoever is left does it
    await clock.advance(60)
    assert len(done) == 6
    assert done[-1][0] != "a"
    store.broken = True
    await clock.advance(60)
    assert len(done) == 6
    assert "report is left out this time" in caplog.text
    store.broken = False
    await clock.advance(60)
    assert len(done) == 7


async def test_without_claims_the_first_worker_does_it() -> None:
    clock = FakeClock()
    done: list[str] = []
    make_background(clock).every("1m", lambda: done.append("first"), once=True)
    second = make_background(clock, is_first_worker=False)
    second.every("1m", lambda: done.append("second"), once=True, name="one")
    await clock.advance(180)
    assert done == ["first"] * 3
    with pytest.raises(ValueError, match="one is done once by that name already"):
        second.every("1m", print, once=True, name="one")


async def test_a_wall_clock_that_jumps() -> None:
    clock = FakeClock()
    done: list[float] = []
    make_background(clock).every("1m", lambda: done.append(clock.wall()), once=True)
    await clock.advance(60)
    clock.step(3600)
    await clock.advance(60)
    assert len(done) == 2, "an hour that never was is not made up for"
    clock.step(-7200)
    await clock.advance(60)
    await clock.advance(60)
    assert len(done) in (3, 4)


async def test_tasks_end_before_on_shutdown_and_are_counted_in_metrics(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin(
        "p",
        """
        import asyncio
        lines = []
        class Plugin:
            @hookimpl
            def on_init(self, ctx):
                ctx.spawn(self.stay)
                ctx.spawn(self.fail)
            async def stay(self):
                try:
                    await asyncio.Event().wait()
                finally:
                    lines.append("ended")
            async def fail(self):
                raise ValueError("x")
            @hookimpl
            def provides(self):
                return lines
            @hookimpl
            def on_shutdown(self):
                lines.append("shut down")
        """,
    )
    async with make_host() as host:
        lines = host.service("p")
        await asyncio.sleep(0)
        answer = await call(host, path="/metrics")
        assert b'buntime_plugin_task_failures_total{plugin="p"} 1\n' in answer.body
    assert lines == ["ended", "shut down"]
    assert "Plugin.fail failed" in caplog.text
