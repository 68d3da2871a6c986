"""What the reads of a request are to see, where the database has replicas.

`X-Buntime-Position` on an answer says how far the database was then. Sent back with a request, to
whichever host, that one reads no less, and tells no lower position unless the database has begun a
new log, where the old one means nothing. Engines without replicas tell no position and heed none.

In an event stream it is a field `position` of each event, which parsers of events skip that do not
know it: who is told of a change, and reads at another host, finds it there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing

from buntime_database import Adapter, ReadDemand
from buntime_keyval.wire import InvalidInput

from buntime_plugin_keyval.requests.answers import Frames

POSITION = b"x-buntime-position"
_MOST_DIGITS = 15
"""A log that is longer than that has no server."""

Header = tuple[bytes, bytes]


def demand_of(headers: Iterable[Header], given: object) -> ReadDemand:
    """What a request demands. Raises `InvalidInput` for what is no position."""
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
    """What the answer to a request that demanded this says; nothing where nothing is to be said."""
    position = adapter.position()
    if position is None:
        return ()
    if position < (demanded.position or 0) and not demanded.is_outdated:
        return ()  # it read nothing: what its sender knows is better
    return ((POSITION, b"%d" % position),)


async def told_positions(frames: Frames, adapter: Adapter) -> Frames:
    """The frames of a stream, each with how far the database is then."""
    async with aclosing(frames):
        async for frame in frames:
            position = adapter.position()
            if position is None:
                yield frame
            elif isinstance(frame, bytes):
                yield b"position: %d\n%b" % (position, frame)
            else:
                yield (b"position: %d\n" % position, *frame)
