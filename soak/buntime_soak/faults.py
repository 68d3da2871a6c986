"""What is done to the servers while clients use them; a seed repeats the choice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Mapping

from buntime_soak.history import Fault, History
from buntime_soak.servers import Mode, Servers

Inject = Callable[["Faults"], Awaitable[str]]
"""Does something, undoes it if that is needed, and says what it did."""

DOWN_SECONDS = 1.5
STALL_SECONDS = 4.0
STEPS_SECONDS = (2.0, 30.0, 3600.0)
LOST_AT_ONCE = 8


class Faults:
    """Chooses faults and keeps what it did."""

    def __init__(
        self,
        servers: Servers,
        history: History,
        dice: random.Random,
        *,
        between: tuple[float, float],
    ) -> None:
        """`between` are the shortest and the longest pause between two faults, in seconds."""
        self._between = between
        self.servers = servers
        self.dice = dice
        self._history = history

    async def run(self, kinds: Mapping[str, Inject], done: asyncio.Event) -> None:
        """One fault after another, until it is time to end; every one is undone then."""
        while kinds and not done.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.dice.uniform(*self._between)):
                    await done.wait()
            if done.is_set():
                return
            kind = self.dice.choice(sorted(kinds))
            begin = self._history.now()
            what = await kinds[kind](self)
            self._history.faults.append(Fault(kind, what, begin, self._history.now()))

    async def wait(self, most: float) -> None:
        """Leave things as they are for a while, which is short more often than long."""
        await asyncio.sleep(min(most, self.dice.expovariate(3 / most)))


async def _kill(faults: Faults) -> str:
    host = faults.dice.choice(faults.servers.hosts)
    await host.kill()
    await faults.wait(DOWN_SECONDS)
    await faults.servers.start(host)
    return host.name


async def _restart(faults: Faults) -> str:
    host = faults.dice.choice(faults.servers.hosts)
    await host.stop()
    await faults.servers.start(host)
    return host.name


async def _kill_worker(faults: Faults) -> str:
    host = faults.dice.choice(faults.servers.hosts)
    number = faults.dice.randrange(host.workers)
    await host.kill_worker(number)
    return f"{host.name}, worker {number}"


async def _pause(faults: Faults) -> str:
    host = faults.dice.choice(faults.servers.hosts)
    number = faults.dice.randrange(host.workers)
    host.pause(number)
    await faults.wait(STALL_SECONDS)
    host.resume(number)
    return host.name


async def _clock(faults: Faults) -> str:
    seconds = faults.dice.choice(STEPS_SECONDS) * faults.dice.choice((-1, 1))
    faults.servers.clock.step(seconds)
    return f"{seconds:+.0f} s"


async def _kill_database(faults: Faults) -> str:
    number = faults.dice.randrange(len(faults.servers.databases))
    database = faults.servers.databases[number]
    await asyncio.to_thread(database.kill)
    await faults.wait(DOWN_SECONDS)
    await asyncio.to_thread(database.start)
    return _role(number)


async def _pause_database(faults: Faults) -> str:
    number = faults.dice.randrange(len(faults.servers.databases))
    faults.servers.databases[number].pause()
    await faults.wait(STALL_SECONDS)
    faults.servers.databases[number].resume()
    return _role(number)


async def _lose(faults: Faults, *, of_commits: bool = False) -> str:
    proxy = faults.dice.choice(faults.servers.primary_proxies)
    before = proxy.lost
    proxy.lose(faults.dice.randint(1, LOST_AT_ONCE), of_commits=of_commits)
    await faults.wait(DOWN_SECONDS)
    proxy.release()
    return f"{proxy.lost - before} answers"


async def _lose_commits(faults: Faults) -> str:
    return await _lose(faults, of_commits=True)


async def _cut(faults: Faults) -> str:
    faults.dice.choice(faults.servers.proxies).cut()
    return "connections to a database"


async def _stall(faults: Faults) -> str:
    proxy = faults.dice.choice(faults.servers.proxies)
    proxy.hold()
    await faults.wait(STALL_SECONDS)
    proxy.release()
    return "connections to a database"


def _role(number: int) -> str:
    return "the primary" if number == 0 else "a replica"


_ALWAYS: dict[str, Inject] = {"kill": _kill, "restart": _restart, "pause": _pause, "clock": _clock}
_DATABASES: dict[str, Inject] = {
    "kill-database": _kill_database,
    "pause-database": _pause_database,
    "lose": _lose,
    "lose-commits": _lose_commits,
    "cut": _cut,
    "stall": _stall,
}


def faults_of(mode: Mode) -> dict[str, Inject]:
    """All that can be done to the servers of a mode."""
    match mode:
        case "workers":
            return {**_ALWAYS, "kill-worker": _kill_worker}
        case "libsql":
            return {**_ALWAYS, **_DATABASES}
        case _:
            return _ALWAYS
