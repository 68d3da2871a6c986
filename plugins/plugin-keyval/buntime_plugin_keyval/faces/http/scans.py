"""Requests that may read any number of entries: they take turns, and end if their client goes."""

from __future__ import annotations

import asyncio

from buntime_host import Answer, DirectRequest, Promised, settled

from buntime_plugin_keyval.model.errors import RequestTooLong
from buntime_plugin_keyval.requests.answers import ClientGone, Frames, Text
from buntime_plugin_keyval.requests.asked import Asked
from buntime_plugin_keyval.service import KeyValService

_OPERATIONS = frozenset({"list", "paginate", "count", "delete", "search"})

MOST_PASSED = 1000
"""Entries that a request may skip without waiting for its turn: as many as a page has."""


def is_scan(asked: Asked) -> bool:
    """Whether the cost of a request depends on the size of a range."""
    cost = asked.cost
    if cost.passed > MOST_PASSED and asked.operation in _OPERATIONS:
        return True
    if cost.entries is not None or asked.operation not in _OPERATIONS:
        return False
    # Searches find their hits by an index, and ranges are deleted without being read.
    return cost.conditions > 0 or asked.operation == "count"


async def run_scan(
    service: KeyValService, asked: Asked, request: DirectRequest
) -> Text | Answer | Frames:
    """The answer, once it is the request's turn; the engine is interrupted if the client goes.

    Raises `ClientGone`, `TooManyScans`, and `RequestTooLong` for a read that takes too long. A
    write that has begun is not given up, since its outcome would be unknown.
    """
    seconds = service.config.limits.request_time
    client = service.client_of(request.peer) or (request.client[0] if request.client else "")
    working = asyncio.create_task(_in_turn(service, asked, client))
    gone = asyncio.create_task(request.gone())
    try:
        done, _ = await asyncio.wait(
            {working, gone},
            timeout=seconds if asked.access == "read" else None,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if working in done:
            return working.result()
        if gone in done:
            raise ClientGone
        raise RequestTooLong(seconds)
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.wait({working, gone})
        if not working.cancelled():
            working.exception()  # retrieved and ignored: the client has gone


async def _in_turn(service: KeyValService, asked: Asked, client: str) -> Text | Answer | Frames:
    async with service.scans.turn(client):
        ran = asked.run()
        if isinstance(ran, asyncio.Future):
            return await settled(Promised(ran, asked.answer))
        return ran if isinstance(ran, Text | Answer) else await ran
