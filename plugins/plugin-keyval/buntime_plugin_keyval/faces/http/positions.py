"""What the reads of a request have to see if the database has replicas.

`X-Buntime-Position` on an answer is the position of the database at that time. A request that sends
it back, to any host, reads no earlier state and returns no lower position, unless the database has
begun a new log, for which the old position means nothing. Engines without replicas return no
position and ignore one.

In an event stream it is a field `position` of each event, which other parsers of events skip: with
it, a client that is told of a change can read that change at another host.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing

from buntime_database import Adapter, ReadDemand
from buntime_keyval.wire import InvalidInput

from buntime_plugin_keyval.requests.answers import Frames

POSITION = b"x-buntime-position"
_MOST_DIGITS = 15
"""More digits than the position of any server has."""

Header = tuple[bytes, bytes]


def demand_of(headers: Iterable[Header], given: object) -> ReadDemand:
    """What a request demands of its reads. Raises `InvalidInput` for an invalid position."""
    strong = getattr(given, "consistency", None) == "strong"
    position = None
    for name, value in headers:
        if name == POSITION:
            if not value.isdigit() or len(value) > _MOST_DIGITS:
                shown = value[:50].decode("latin-1")
                raise InvalidInput(
                    "X-Buntime-Position must be what an answer had in this header, "
                    f"received {shown!r}"
                )
            position = max(position or 0, int(value))
    return ReadDemand(strong, position)


def position_headers(adapter: Adapter, demanded: ReadDemand) -> tuple[Header, ...]:
    """The headers of an answer to a request that demanded this; none if nothing is to be told."""
    position = adapter.position()
    if position is None:
        return ()
    if position < (demanded.position or 0) and not demanded.is_outdated:
        return ()  # nothing was read: the position that the client has is better
    return ((POSITION, b"%d" % position),)


async def told_positions(frames: Frames, adapter: Adapter) -> Frames:
    """The frames of a stream, each with the position of the database at that time."""
    async with aclosing(frames):
        async for frame in frames:
            position = adapter.position()
            if position is None:
                yield frame
            elif isinstance(frame, bytes):
                yield b"position: %d\n%b" % (position, frame)
            else:
                yield (b"position: %d\n" % position, *frame)
