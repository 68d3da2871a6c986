"""A feature that has one of everything: numbers with names that commits add to.

`{"type": "tally", "name": …, "by": …}` among the mutations of a commit adds, and
`{"tally": …, "most": …}` among its checks holds while no more was counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote

from buntime_database import Guard, Statement
from buntime_keyval.wire import InvalidInput
from buntime_plugin_keyval.engine.additions import (
    Addition,
    CheckParsers,
    MutationParsers,
    Requirement,
)
from buntime_plugin_keyval.engine.decisions import Decision, Write
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.features.feature import Feature, Ground, Measure, Part
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.requests.asked import Asked, Request, Route
from buntime_plugin_keyval.requests.kinds import OFFSET
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.storage.dialects.dialect import Dialect


class Add(NamedTuple):
    """An effect: adds to a number."""

    name: str
    by: int

    def statements(
        self, dialect: Dialect, versionstamp: str, at: Moment, is_firm: bool
    ) -> Sequence[Statement]:
        """See `Effect`."""
        sql = (
            "INSERT INTO kv_tally (name, total, at) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET total = total + excluded.total, at = excluded.at"
        )
        return (Statement(sql, (self.name, self.by, at.now_ms)),)


class TallyPart(Part):
    """The numbers of one store."""

    def __init__(self, ground: Ground) -> None:
        self.store = ground.store
        self.sum = 0
        self._loop = Loop(self._step, "tally", logger=self.store.logger, complaint="Not summed: %s")

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"tallying": self._loop}

    @property
    def mutations(self) -> MutationParsers:
        return {"tally": self._read}

    @property
    def checks(self) -> CheckParsers:
        return {"tally": self._read_check}

    def numbers(self) -> Mapping[str, float]:
        return {"tally_sum": self.sum}

    async def stored_numbers(self) -> Mapping[str, float]:
        ((names,),) = await self.store.adapter.query("SELECT count(*) FROM kv_tally")
        return {"tally_names": int(names or 0)}

    async def total(self, name: str) -> int:
        sql = "SELECT total FROM kv_tally WHERE name = ?"
        rows = await self.store.adapter.query(sql, (name,))
        return int(rows[0][0] or 0) if rows else 0

    async def add(self, name: str, by: int) -> None:
        decision = Decision[None]((Add(name, by),), lambda *_: None)
        await self.store.write(Write(lambda _: decision))
        self._loop.wake()

    def _read(self, item: dict[str, Any], place: str, now_ms: int) -> Addition:
        if not isinstance(item.get("by"), int):
            raise InvalidInput(f"{place}.by must be an integer")
        return Addition(Add(str(item.get("name")), item["by"]), committed=self._loop.wake)

    def _read_check(self, item: dict[str, Any], place: str) -> Requirement:
        sql = "coalesce((SELECT total FROM kv_tally WHERE name = ?), 0) <= ?"
        return Requirement(Guard(sql, (item["tally"], item["most"])))

    async def _step(self) -> None:
        ((total,),) = await self.store.adapter.query("SELECT sum(total) FROM kv_tally")
        self.sum = int(total or 0)


class Adding(RequestShape, frozen=True, kw_only=True):
    """How much to add."""

    by: Annotated[int, OFFSET] = 1


def show(part: TallyPart, request: Request[RequestShape]) -> Asked:
    """`GET /tally/{name}`"""
    name = _name(request)

    async def run() -> str:
        return f'{{"total":{await part.total(name)}}}'

    return Asked("tally", "read", run)


def add(part: TallyPart, request: Request[Adding]) -> Asked:
    """`POST /tally/{name}/add`"""
    name = _name(request)

    async def run() -> str:
        await part.add(name, request.given.by)
        return '{"ok":true}'

    return Asked("tally_add", "write", run)


def _name(request: Request[Any]) -> str:
    return unquote(request.path.split(b"/")[2].decode())


TALLY = Feature(
    "tally",
    TallyPart,
    routes={
        "/tally/{name}": {"GET": Route(show, RequestShape)},
        "/tally/{name}/add": {"POST": Route(add, Adding, MemberPlace.OPTIONAL_BODY)},
    },
    measures=(Measure("tally_sum", "What was counted", "tally.sum"),),
    stored_measures=(Measure("tally_names", "Numbers that are kept", "tally.names"),),
    migrations=Path(__file__).parent / "migrations",
)
