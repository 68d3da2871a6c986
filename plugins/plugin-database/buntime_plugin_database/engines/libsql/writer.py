"""Everything that writes, one request at a time, and group commit over the network.

A write is acknowledged only after the server has answered that it committed. If the answer is lost,
the server is asked what became of the request (see `witness`), and only if it committed nothing,
and cannot any more, the writes are sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Protocol

from buntime_database import (
    DatabaseBusy,
    DatabaseError,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
)

from buntime_plugin_database.engines.libsql.plan import (
    Encoded,
    ServerRequest,
    encode_batch,
    make_request,
    read_answer,
    recall,
)
from buntime_plugin_database.engines.libsql.question import make_question, read_reply
from buntime_plugin_database.engines.libsql.transport import Json
from buntime_plugin_database.shared.counters import Counters
from buntime_plugin_database.shared.grouping import BatchOutcome
from buntime_plugin_database.shared.server_writes import ServerWrites, Unsent, conclude
from buntime_plugin_database.shared.witness import TablesMissing, Told, Witness, now_ms

MAX_CAUTION = 63
"""Groups that have a savepoint for each write because one failed before: 1, then 3, 7, …"""

BUSY_PAUSE_SECONDS = (0.005, 0.05)
"""Pauses between two attempts to get the server's lock: random, so that hosts do not move in
step."""


class Ask(Protocol):
    """Carries a question to the primary on a connection of its own; raises `DatabaseError`."""

    def __call__(self, steps: list[Json], *, most_seconds: float) -> Awaitable[Json]: ...


class BatchWriter(ServerWrites[Encoded]):
    """Serialises the writes of one adapter."""

    def __init__(
        self,
        send: Callable[[list[Json]], Awaitable[Json]],
        ask: Ask,
        *,
        timeout_seconds: float,
        counters: Counters,
    ) -> None:
        """`send` carries a request to the primary; it raises `DatabaseError`.

        `timeout_seconds` is how long a write may wait for its turn, and how long the server is
        asked for the outcome of one whose answer was lost.
        """
        super().__init__(encode_batch, timeout_seconds=timeout_seconds, counters=counters)
        self._send = send
        self._ask = ask
        self._witness: Witness | None = None
        self._caution = 0
        self._cautious_groups = 0
        """Groups that still get savepoints; `_caution` is how many there were at the last time."""

    async def _commit(
        self,
        group: list[Unsent[Encoded]],
        *,
        has_savepoints: bool = False,
        has_tables: bool = False,
    ) -> None:
        """Send a group until it is known what became of it, and conclude it.

        `has_tables` says that the witness's tables were just made.
        """
        batches = [job.batch for job in group]
        has_savepoints = has_savepoints or (len(group) > 1 and self._is_cautious())
        if self._witness is None:
            self._witness = Witness()  # here, since no two processes may share it
        witness = self._witness
        request = make_request(batches, witness, now_ms(), has_savepoints=has_savepoints)
        started = perf_counter()
        try:
            outcomes = await self._outcomes(request, batches, witness)
        except DatabaseBusy as busy:
            await self._commit_later(group, busy, has_savepoints=has_savepoints)
        except DatabaseError as error:
            if isinstance(error, TablesMissing) and not has_tables:
                witness.forget_tables()
                await self._commit(group, has_tables=True)
            elif isinstance(error, InvalidStatement) and len(group) > 1:
                # The server parses all before it runs any, and says of none which one was wrong.
                await self._commit_alone(group)
            else:
                conclude(group, error)
        else:
            if outcomes is None:
                await self._commit_again(group, has_savepoints=has_savepoints)
            else:
                seconds = perf_counter() - started
                await self._conclude(group, outcomes, seconds, has_savepoints=has_savepoints)

    async def _outcomes(
        self, request: ServerRequest, batches: Sequence[Encoded], witness: Witness
    ) -> Sequence[BatchOutcome | None] | None:
        """What became of each of a group, None of those that nothing is written of.

        None alone if one of them undid all. Raises `DatabaseError`.
        """
        try:
            return await read_answer(request, batches, await self._send(request.steps))
        except OutcomeUnknown:
            told = await self._find_out(witness)
            if told is None:
                raise
            return recall(request, batches, told)

    async def _conclude(
        self,
        group: list[Unsent[Encoded]],
        outcomes: Sequence[BatchOutcome | None],
        seconds: float,
        *,
        has_savepoints: bool,
    ) -> None:
        """Tell what became of them, and send those again of which nothing is written."""
        is_written = any(outcome is not None for outcome in outcomes)
        if is_written:
            self.count(len(group), seconds)
        for job, outcome in zip(group, outcomes, strict=True):
            if outcome is not None:
                job.conclude(outcome)
        left = self.still_wanted(
            group, DatabaseUnavailable("the server was lost, nothing was written")
        )
        if is_written:
            await self._commit_alone(left)
        elif left:
            await self._commit(left, has_savepoints=has_savepoints)

    def _is_cautious(self) -> bool:
        if not self._cautious_groups:
            return False
        self._cautious_groups -= 1
        return True

    async def _commit_later(
        self, group: list[Unsent[Encoded]], busy: DatabaseBusy, *, has_savepoints: bool
    ) -> None:
        """Send a group again that did not get the server's lock: nothing was written.

        A server waits for the lock by itself, but not in the order of arrival, so that among
        busy hosts one may come away with nothing for some time.
        """
        pause = random.uniform(*BUSY_PAUSE_SECONDS)  # noqa: S311 - spreads attempts, no secret
        await asyncio.sleep(pause)
        left = [] if self.closed else self.still_wanted(group, busy)
        if left:
            await self._commit(left, has_savepoints=has_savepoints)
        else:
            conclude(group, busy)

    async def _commit_again(self, group: list[Unsent[Encoded]], *, has_savepoints: bool) -> None:
        """Find the write that failed and made its whole group fail."""
        if has_savepoints:
            await self._commit_alone(group)
            return
        self._caution = min(2 * self._caution + 1, MAX_CAUTION)
        self._cautious_groups = self._caution
        await self._commit(group, has_savepoints=True)

    async def _commit_alone(self, group: list[Unsent[Encoded]]) -> None:
        for job in group:
            if not job.done.done():
                await self._commit([job])

    async def _find_out(self, witness: Witness) -> Told | None:
        async def ask(seconds: float) -> Told:
            answer = await self._ask(make_question(witness, now_ms()), most_seconds=seconds)
            return read_reply(witness, answer)

        return await self.find_out(ask)
