"""Requests to running servers, of which every one must be answered as the contract says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import httpx2

Parts = Sequence[Any]


class Api:
    """The API of one store, asked of its servers in turn."""

    def __init__(self, client: httpx2.AsyncClient, bases: Sequence[str]) -> None:
        self._client = client
        self._bases = cycle(bases)

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the next server. Any status but 200 fails the test."""
        answer = await self._client.request(method, next(self._bases) + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def get(self, *keys: Parts) -> list[Any]:
        """The entries of the keys, from one snapshot."""
        entries: list[Any] = await self.ask("POST", "/keys/batch", {"keys": keys})
        return entries

    async def snapshot(self, *keys: Parts) -> list[Any]:
        """The same through a transaction that only reads."""
        answer = await self.ask("POST", "/transaction", {"reads": keys})
        entries: list[Any] = answer["entries"]
        return entries

    async def commit(self, *mutations: Any, checks: Sequence[Any] = ()) -> bool:
        """Whether the checks held and the mutations were made."""
        body = {"checks": checks, "mutations": mutations}
        answer = await self.ask("POST", "/atomic", body)
        assert set(answer) == ({"ok", "versionstamp"} if answer["ok"] else {"ok"})
        ok: bool = answer["ok"]
        return ok


@asynccontextmanager
async def open_api(bases: Sequence[str]) -> AsyncIterator[Api]:
    """A client with enough connections for every test here."""
    limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx2.AsyncClient(limits=limits, timeout=60) as client:
        yield Api(client, bases)


async def together(work: Sequence[Any]) -> list[Any]:
    """All results; the first failure ends the rest."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(item) for item in work]
    return [task.result() for task in tasks]
