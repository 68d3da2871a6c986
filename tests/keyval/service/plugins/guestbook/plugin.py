"""A plugin of somebody else that keeps its data in the key-value store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buntime_host import PluginContext, hookimpl
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

STARTS = ("guestbook", "starts")
ENTRIES = ("guestbook", "entries")


class Guestbook:
    """Counts its starts, and keeps what guests write in the order in which they wrote it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._kv: Any = None
        self._changed: list[str] = []

    @hookimpl
    async def on_init(self, ctx: PluginContext) -> None:
        self._kv = ctx.get_plugin("@buntime/plugin-keyval")
        self._kv.add_trigger(prefix=ENTRIES, handler=self._remember)
        await self._kv.atomic().sum(STARTS, 1).commit()
        starts = await self._kv.get(STARTS)
        ctx.logger.info("guestbook: start %d", starts.value)

    @hookimpl
    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/entries", self.show),
            Route("/entries", self.sign, methods=["POST"]),
        ]

    async def show(self, request: Request) -> JSONResponse:
        starts = await self._kv.get(STARTS)
        entries = [entry.value async for entry in self._kv.list(ENTRIES)]
        return JSONResponse({"starts": starts.value, "entries": entries, "changed": self._changed})

    async def sign(self, request: Request) -> JSONResponse:
        text = await request.json()
        result = await self._kv.atomic().set((*ENTRIES, self._kv.uuidv7()), text).commit()
        return JSONResponse({"id": result.versionstamp}, status_code=201)

    def _remember(self, event: Any) -> None:
        self._changed.append(event.type)
