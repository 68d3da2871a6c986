"""An engine of somebody else: a database that notes every statement that it was asked to write.

It stands on the embedded engine, has options of its own, and has no tenants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

import msgspec
from buntime_database import Batch, DatabaseError, Guard, ResultSet, Statement
from buntime_host import OptionError, option
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.shared.engine import (
    Completed,
    Engine,
    EngineOptions,
    Opening,
)
from buntime_plugin_database.shared.tenants import NoTenants, Tenants


class RecorderOptions(EngineOptions, frozen=True):
    """An entry of `adapters`."""

    path: Annotated[str | None, option("The file", "Or the variable RECORDER_PATH")] = None
    keep: Annotated[int, option("Statements that are kept", least=1)] = 100

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        path = self.path or environ.get("RECORDER_PATH")
        if not path:
            raise OptionError("path is required for recorder adapter")
        return Completed(msgspec.structs.replace(self, path=path))


class Recorder(SqliteAdapter):
    """A database and what was written to it."""

    def __init__(self, path: str, keep: int) -> None:
        super().__init__(path)
        self.statements: list[str] = []
        self._keep = keep

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        results = await super().batch(steps)
        self._note(steps)
        return results

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        outcomes = await super().batch_each(batches)
        for batch, outcome in zip(batches, outcomes, strict=True):
            if not isinstance(outcome, DatabaseError):
                self._note(batch.steps)
        return outcomes

    def _note(self, steps: Sequence[Statement | Guard]) -> None:
        self.statements += [step.sql for step in steps if isinstance(step, Statement)]
        del self.statements[: -self._keep]


async def open_root(options: RecorderOptions, opening: Opening) -> Recorder:
    """Open the file."""
    path = opening.base_dir / (options.path or "")
    return await asyncio.to_thread(Recorder, str(path), options.keep)


def tenants(options: RecorderOptions, root: Recorder, opening: Opening) -> Tenants:
    """None."""
    return NoTenants("The recorder adapter has no tenants")


ENGINE = Engine("recorder", RecorderOptions, open_root, tenants)
