"""A chat: a route that checks and writes what somebody says, and a page that watches it.

What is said is an entry below `["chat"]`, in the order in which it was committed, for a day.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from buntime_host import BadRequest, PluginContext, hookimpl
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """What somebody says."""

    who: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class Plugin:
    """Writes into the store of plugin-keyval; the page reads it by `/keyval/client.js`."""

    @hookimpl
    def on_init(self, ctx: PluginContext) -> None:
        """Find the store."""
        self._kv = ctx.require_plugin("@buntime/plugin-keyval")

    @hookimpl
    def routes(self) -> list[Route]:
        """Paths below /chat."""
        return [Route("/api/messages", self._say, methods=["POST"])]

    @described(body=Said, status=201)
    async def _say(self, request: Request) -> JSONResponse:
        """Say something."""
        try:
            said = msgspec.json.decode(await request.body(), type=Said)
        except msgspec.MsgspecError as error:
            raise BadRequest(str(error)) from error
        key = ["chat", self._kv.uuidv7()]
        await self._kv.atomic().set(key, msgspec.to_builtins(said), expires_in="1d").commit()
        return JSONResponse({"success": True}, 201)
