"""Websockets last no longer than what let their client in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from buntime_host import principal_of
from starlette.websockets import WebSocket

POLICY_VIOLATION = 1008


async def while_valid(socket: WebSocket, work: Coroutine[Any, Any, None]) -> None:
    """Serve a websocket, until its client's key is revoked or expires; then it is closed."""
    over = asyncio.get_running_loop().create_future()
    life = principal_of(socket.scope).life
    take_back = life.when_over(lambda: None if over.done() else over.set_result(None))
    serving = asyncio.create_task(work)
    try:
        await asyncio.wait({serving, over}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            return
    finally:
        take_back()
        serving.cancel()
        await asyncio.wait({serving})
    await socket.close(POLICY_VIOLATION, "the key is not valid any more")
