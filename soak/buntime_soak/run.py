"""One run: servers, loads and faults together; then everything at rest, looked at once more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from buntime_soak.checks import (
    counters,
    expiry,
    lists,
    queue,
    registers,
    sessions,
    stamps,
    totals,
    watches,
)
from buntime_soak.faults import Faults, faults_of
from buntime_soak.history import History, Violation
from buntime_soak.load.adding import Adding
from buntime_soak.load.bank import ACCOUNTS, TOKEN_PREFIX, TOKENS, TOTAL, Bank
from buntime_soak.load.lives import LONGEST_SECONDS, Lives
from buntime_soak.load.messages import Messages
from buntime_soak.load.registers import Registers
from buntime_soak.load.sessions import Sessions
from buntime_soak.load.watchers import Watchers
from buntime_soak.load.world import NeverAnswered, World
from buntime_soak.servers import Mode, Servers, running
from buntime_soak.wallclock import WallClock, find_libfaketime

SHARES = {
    "registers": 0.25,
    "adding": 0.25,
    "bank": 0.20,
    "messages": 0.15,
    "lives": 0.08,
    "sessions": 0.05,
    "watchers": 0.02,
}
"""Parts of the rate."""


class Plan(NamedTuple):
    """What to run."""

    mode: Mode
    seconds: float
    seed: int
    rate: float
    """Operations a second, about."""
    faults: Collection[str]
    environ: Mapping[str, str] = {}
    """For the hosts."""
    between: tuple[float, float] = (1.0, 5.0)
    """Shortest and longest time from one fault to the next, in seconds."""


class Result(NamedTuple):
    """What a run found."""

    plan: Plan
    history: History
    violations: list[Violation]
    notes: list[str]
    """What could not be checked, and why."""
    output: Mapping[str, str]
    """What each host has said."""


async def run(plan: Plan, folder: Path) -> Result:
    """Run it, with all files in `folder`."""
    history = History()
    clock = WallClock(folder, find_libfaketime() if "clock" in plan.faults else None)
    async with running(plan.mode, folder, clock, history, plan.environ) as servers:
        world = World(
            servers.places,
            history,
            seed=plan.seed,
            rate=plan.rate,
            replicated=plan.mode == "libsql",
        )
        try:
            await _drive(plan, servers, world)
        except* NeverAnswered as group:
            for error in group.exceptions:
                history.oddities.append(Violation("answers", f"no good answer at rest: {error}"))
        finally:
            world.close()
        output = {host.name: host.output for host in servers.hosts}
        return Result(plan, history, judge(history, servers.clocks), [], output)


async def _drive(plan: Plan, servers: Servers, world: World) -> None:
    bank = Bank(world, SHARES["bank"])
    adding = Adding(world, SHARES["adding"])
    messages = Messages(world, SHARES["messages"])
    watchers = Watchers(world, SHARES["watchers"])
    loads: list[Any] = [
        bank,
        adding,
        messages,
        watchers,
        Registers(world, SHARES["registers"]),
        Lives(world, SHARES["lives"]),
        Sessions(world, SHARES["sessions"]),
    ]
    kinds = {name: do for name, do in faults_of(plan.mode).items() if name in plan.faults}
    if "clock" in kinds and not servers.clock.can_be_set:
        del kinds["clock"]
    await bank.prepare()
    faults = Faults(servers, world.history, random.Random(plan.seed), between=plan.between)
    async with asyncio.TaskGroup() as group:
        ending = [group.create_task(client) for load in loads for client in load.clients()]
        for client in (*messages.staying(), *watchers.staying()):
            group.create_task(client)
        injecting = group.create_task(faults.run(kinds, world.done))
        await asyncio.sleep(plan.seconds)
        world.done.set()
        await asyncio.wait([injecting, *ending])  # what comes last may take as long as it takes
        await asyncio.sleep(LONGEST_SECONDS)  # until what has a limited life is gone
        await adding.finish()
        await messages.finish()
        await watchers.finish()


def judge(history: History, clocks: expiry.Clocks) -> list[Violation]:
    """All checkers over a history."""
    ops = history.ops
    promises = watches.Promises(TOTAL, frozenset(ACCOUNTS), TOKENS, TOKEN_PREFIX, clocks)
    return [
        *history.oddities,
        *registers.check(ops),
        *lists.check(ops),
        *counters.check(ops),
        *totals.check(ops, total=TOTAL, tokens=TOKENS),
        *stamps.check(ops),
        *sessions.check(ops),
        *expiry.check(ops, clocks),
        *watches.check(ops, promises),
        *queue.check(ops, history.faults, clocks),
    ]
