"""`tasks-on-postgres`: tasks on a PostgreSQL server, beside Procrastinate, both without HTTP.

Both run in the benchmark's process, one after the other: as many runners with as many tasks at a
time each, the same work, and connections enough. The tasks are there when the runners begin; what
is measured ends when the last one is stored as done.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from buntime_keyval import open_kv
from client import BenchmarkError
from group import Group, Plan, Selection, Settings, job
from postgres_server import postgres_running
from results import Comparison, Measurement, Row, Section

OURS, PROCRASTINATE = "Buntime", "Procrastinate"
CASE = "run"
TASKS = 2_000
"""Of one round."""
RUNNERS = 8
AT_ONCE = 8
CONNECTIONS = 10
MOST_SECONDS = 300.0
_CHUNK = 500
_NAME = "bench"


@contextmanager
def opened(_: Selection, __: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    with postgres_running() as url:
        if url is None:
            settings.say("tasks-on-postgres is skipped: apt-get install postgresql")
            yield Plan([], [SECTION])
            return
        jobs = [job((CASE, OURS), lambda: uvloop.run(_ours(url)))]
        if importlib.util.find_spec("procrastinate") is None:
            settings.say("Procrastinate is skipped: pip install --group benchmarks")
        else:
            jobs.append(job((CASE, PROCRASTINATE), partial(_procrastinated, url)))
        yield Plan(jobs, [SECTION])


class _Work:
    """What is done in a task, and how it is known that all of it was done once."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.runs = 0
        self.done = asyncio.Event()

    def note(self, number: int) -> int:
        """The work."""
        self.numbers.add(number)
        self.runs += 1
        if self.runs >= TASKS:
            self.done.set()
        return number

    async def all_done(self) -> None:
        """Wait for it. Raises `BenchmarkError`."""
        try:
            await asyncio.wait_for(self.done.wait(), MOST_SECONDS)
        except TimeoutError:
            raise BenchmarkError(f"{self.runs} of {TASKS} tasks ran") from None

    def check(self) -> None:
        """Raise `BenchmarkError` unless each task ran once."""
        if self.numbers != set(range(TASKS)) or self.runs != TASKS:
            raise BenchmarkError(f"{self.runs} runs of {len(self.numbers)} tasks of {TASKS}")


class _Clock:
    def __init__(self) -> None:
        self._begin, self._spent = time.perf_counter(), time.process_time()

    def measured(self) -> Measurement:
        """The rate until now, and the processor time of this process for a task."""
        seconds, spent = time.perf_counter() - self._begin, time.process_time() - self._spent
        return Measurement(TASKS / seconds, cpu=spent / TASKS * 1e6)


async def _ours(url: str) -> Measurement:
    work = _Work()

    async def run(number: int) -> int:
        return work.note(number)

    async with AsyncExitStack() as stack:
        kv = await stack.enter_async_context(open_kv(url))
        for start in range(0, TASKS, _CHUNK):
            atomic = kv.atomic()
            for number in range(start, min(start + _CHUNK, TASKS)):
                atomic.task(_NAME, number)
            await atomic.commit()
        runners = [kv.runner(concurrency=AT_ONCE) for _ in range(RUNNERS)]
        clock = _Clock()
        for runner in runners:
            runner.add(_NAME, run)
            await runner.start()
        await work.all_done()
        await asyncio.gather(*(runner.stop() for runner in runners))
        measured = clock.measured()
        counts = (await kv.tasks.stats(_NAME))[_NAME]
        if counts.keys() != {"completed"}:
            raise BenchmarkError(f"left of the tasks: {counts}")
    work.check()
    return measured


def _procrastinated(url: str) -> Measurement:
    # Its driver waits in ways that uvloop has not.
    return asyncio.run(_theirs(url))


async def _theirs(url: str) -> Measurement:
    procrastinate: Any = importlib.import_module("procrastinate")
    work = _Work()
    connector = procrastinate.PsycopgConnector(
        conninfo=url, min_size=CONNECTIONS, max_size=CONNECTIONS
    )
    app = procrastinate.App(connector=connector)

    @app.task(name=_NAME)  # type: ignore[untyped-decorator] # it may not be installed
    async def run(number: int) -> int:
        return work.note(number)

    async with app.open_async():
        if not await app.check_connection_async():
            await app.schema_manager.apply_schema_async()
        for start in range(0, TASKS, _CHUNK):
            numbers = range(start, min(start + _CHUNK, TASKS))
            await run.batch_defer_async(*({"number": number} for number in numbers))
        clock = _Clock()
        workers = [
            app.run_worker_async(
                name=f"worker-{number}",
                concurrency=AT_ONCE,
                wait=False,
                install_signal_handlers=False,
            )
            for number in range(RUNNERS)
        ]
        await asyncio.gather(*workers)
        measured = clock.measured()
        left = [it for it in await app.job_manager.list_jobs_async() if it.status != "succeeded"]
        if left:
            raise BenchmarkError(f"{len(left)} of the tasks are not done")
    work.check()
    return measured


SECTION = Section(
    "tasks-on-postgres",
    "Tasks on a PostgreSQL server",
    [
        Row(
            (CASE, OURS),
            f"tasks run, {RUNNERS} runners",
            comparisons=[Comparison(f"÷ {PROCRASTINATE}", (CASE, PROCRASTINATE), 2.0)],
        ),
        Row((CASE, PROCRASTINATE), f"tasks run, {RUNNERS} workers"),
    ],
)
GROUP = Group({"tasks-on-postgres": (CASE,)}, opened, needs_wrk=False)
