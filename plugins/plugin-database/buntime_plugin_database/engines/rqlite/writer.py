"""All writes: one transaction at a time, which many writes share.

A batch that fails undoes the transaction that it shares, so the others are sent again without it.
If an answer is lost, the cluster is asked for the outcome of the transaction (see `witness`), which
is sent again only if it committed nothing, and no longer can.
"""

from __future__ import annotations

from time import perf_counter

from buntime_database import (
    ConstraintViolation,
    DatabaseError,
    DatabaseUnavailable,
    OutcomeUnknown,
    ResultSet,
    Value,
)

from buntime_plugin_database.engines.rqlite.errors import error_of
from buntime_plugin_database.engines.rqlite.nodes import Level, Nodes
from buntime_plugin_database.engines.rqlite.plan import (
    CREATE_GUARDS,
    FailedBatch,
    PlainBatch,
    encode_batch,
    failure_in,
    make_request,
    recalled,
    results_in,
    with_rows,
)
from buntime_plugin_database.engines.rqlite.values import Json, decode_rows, wrapped
from buntime_plugin_database.shared.counters import Counters
from buntime_plugin_database.shared.server_writes import ServerWrites, Unsent, conclude
from buntime_plugin_database.shared.witness import (
    CREATE,
    Results,
    TablesMissing,
    Told,
    Witness,
    now_ms,
    results_of,
)

_NO_RESULT = "the write was carried out, but what it returned cannot be read: "


class ClusterWriter(ServerWrites[PlainBatch]):
    """Serialises the writes of one adapter."""

    def __init__(self, nodes: Nodes, *, timeout_seconds: float, counters: Counters) -> None:
        super().__init__(encode_batch, timeout_seconds=timeout_seconds, counters=counters)
        self._nodes = nodes
        self._witness: Witness | None = None
        self.acknowledged = 0
        """The last group of `last_group` that was told to be committed; 0 for none."""

    @property
    def last_group(self) -> str:
        """The query for the number of the last group of this writer that a node has."""
        return "SELECT 0 WHERE 0" if self._witness is None else self._witness.last_group

    async def _commit(self, group: list[Unsent[PlainBatch]]) -> None:
        """Conclude all of a group, in as few transactions as that takes."""
        size = len(group)
        while group:
            together, group = group[:size], group[size:]
            left = await self._commit_together(together)
            # Where all fail, as when another host was faster, a large group gains nothing.
            size = 1 if left else 2 * size
            group = left + group

    async def _commit_together(self, jobs: list[Unsent[PlainBatch]]) -> list[Unsent[PlainBatch]]:
        """Commit what can be of these, and conclude it; those are left that were not tried.

        One that fails is concluded when those before it are committed: it may have failed because
        of them. Should one before it fail after all, it is tried again.
        """
        failed: list[tuple[Unsent[PlainBatch], DatabaseError]] = []
        while True:
            refused = {id(job) for job, _ in failed}
            live = self.still_wanted(
                (job for job in jobs if id(job) not in refused),
                DatabaseUnavailable("the cluster was lost, nothing was written"),
            )
            outcome = await self._send(live) if live else None
            if isinstance(outcome, FailedBatch):
                place = jobs.index(live[outcome.batch])
                failed = [(job, error) for job, error in failed if jobs.index(job) < place]
                failed.append((jobs[place], outcome.error))
                if len(failed) < 2 or place >= len(failed):
                    continue
            elif isinstance(outcome, ConstraintViolation) and len(live) > 1:
                for job in live:  # checked at COMMIT, of an unknown batch
                    await self._commit_together([job])
            elif outcome is not None:
                conclude(live, outcome)
            for job, error in failed:
                job.conclude(error)
            return jobs[len(failed) :] if isinstance(outcome, FailedBatch) else []

    async def _send(self, jobs: list[Unsent[PlainBatch]]) -> FailedBatch | DatabaseError | None:
        """Send a group until it is known what became of it.

        Which one undid it, or what keeps all of them from being written; None when all are
        concluded.
        """
        batches = [job.batch for job in jobs]
        has_tables = False
        while True:
            if self._witness is None:
                # Here, since no two processes may share it.
                self._witness = Witness(CREATE_GUARDS)
            witness = self._witness
            sent = make_request(batches, witness, now_ms())
            started = perf_counter()
            failure: FailedBatch | DatabaseError | None
            try:
                results = await self._nodes.execute(sent.statements)
                failure = failure_in(sent, batches, results)
            except OutcomeUnknown as lost:
                told = await self._find_out(witness)
                if told is None:
                    return lost
                if told.was_committed:
                    self._committed(len(jobs), perf_counter() - started)
                    for number, job in enumerate(jobs):
                        job.conclude(recalled(number, job.batch, told.results))
                    return None
                has_tables = False
                if not self.still_wanted(jobs, DatabaseUnavailable(str(lost))):
                    return None
                continue
            except DatabaseError as error:
                failure = error
            if failure is not None:
                reason = failure.error if isinstance(failure, FailedBatch) else failure
                if isinstance(reason, TablesMissing) and not has_tables:
                    has_tables = True
                    witness.forget_tables()
                    continue
                return failure
            self._committed(len(jobs), perf_counter() - started)
            outcomes = [
                results_in(sent, number, batch, results) for number, batch in enumerate(batches)
            ]
            await self._conclude(jobs, outcomes, witness)
            return None

    async def _conclude(
        self, jobs: list[Unsent[PlainBatch]], outcomes: list[list[ResultSet]], witness: Witness
    ) -> None:
        """Conclude written batches, with their rows."""
        noted: Results | DatabaseError = {}
        if any(job.batch.has_rows for job in jobs):
            noted = await self._read_notes(witness)
        for number, (job, outcome) in enumerate(zip(jobs, outcomes, strict=True)):
            if not job.batch.has_rows:
                job.conclude(outcome)
            elif isinstance(noted, DatabaseError):
                lost = OutcomeUnknown(f"{_NO_RESULT}{noted}")
                lost.__cause__ = noted
                job.conclude(lost)
            else:
                job.conclude(with_rows(outcome, number, job.batch, noted))

    async def _read_notes(self, witness: Witness) -> Results | DatabaseError:
        # The node that has just committed has them; another one may not yet.
        level: Level = "weak"
        try:
            for _ in range(2):
                questions = [wrapped([witness.last_group], 1), wrapped([witness.last_results], 5)]
                group, notes = await self._rows(questions, level, float("inf"))
                if group == [(witness.group,)]:
                    return results_of(notes)
                level = "linearizable"
        except DatabaseError as error:
            return error
        return DatabaseUnavailable("the notes of the transaction are gone")

    async def _find_out(self, witness: Witness) -> Told | None:
        async def ask(seconds: float) -> Told:
            fence = [[text] for text in (*CREATE, CREATE_GUARDS, witness.fence(now_ms()))]
            for result in await self._nodes.execute(fence, most_seconds=seconds):
                if "error" in result:
                    raise error_of(str(result["error"]))
            questions = [wrapped([witness.last_group], 1), wrapped([witness.last_results], 5)]
            group, notes = await self._rows(questions, "linearizable", seconds)
            return Told(group == [(witness.group,)], results_of(notes))

        return await self.find_out(ask)

    async def _rows(
        self, questions: list[Json], level: Level, seconds: float
    ) -> list[list[tuple[Value, ...]]]:
        results = await self._nodes.query(questions, level, most_seconds=seconds)
        for result in results:
            if "error" in result:
                raise error_of(str(result["error"]))
        return [decode_rows(result) for result in results]

    def _committed(self, batches: int, seconds: float) -> None:
        if self._witness is not None:
            self.acknowledged = self._witness.group
        self.count(batches, seconds)
