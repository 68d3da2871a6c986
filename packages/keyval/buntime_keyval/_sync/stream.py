# Made by scripts/unasync from _async/stream.py: change that one.
"""The stream of changes: `kv.stream`."""

from __future__ import annotations

import time
from collections.abc import Iterator

from buntime_keyval._calls import stream as calls
from buntime_keyval._calls.stream import StreamAction
from buntime_keyval._results import StreamPage, StreamRecord
from buntime_keyval._sync.session import Session
from buntime_keyval.wire import Duration, KeyLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT


class ChangeStream:
    """All changes of a store, in the order of their commits.

    Called, it gives those that are there now.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(
        self,
        after: int = 0,
        *,
        since: int | None = None,
        prefix: KeyLike = (),
        type: str | None = None,
        action: StreamAction | None = None,
    ) -> Iterator[StreamRecord]:
        """The records behind a position, or from a time on, up to the newest one of now.

        Raises `StreamTrimmed` as `read` does.
        """
        newest = self.seq()
        while True:
            page = self.read(
                after, since=since, limit=MAX_LIMIT, prefix=prefix, type=type, action=action
            )
            for record in page.records:
                if record.seq > newest:
                    return
                yield record
            if page.next >= newest:
                return
            after, since = page.next, None

    def read(
        self,
        after: int = 0,
        *,
        since: int | None = None,
        limit: int = DEFAULT_LIMIT,
        prefix: KeyLike = (),
        type: str | None = None,
        action: StreamAction | None = None,
        wait: Duration | None = None,
    ) -> StreamPage:
        """Records behind a position, or from a time on (at most 1000); waits up to a minute for the
        first one.

        Fewer may be there than `limit` says though more follow: `next` of the page is less than
        `last` then. Raises `StreamTrimmed` where records behind the position are not there any
        more, and `PositionAhead` where no record has that position yet.
        """
        wanted = calls.wish(limit, prefix, type, action)
        ends = time.monotonic() + calls.stream_wait_ms(wait) / 1000
        longest = self._session.longest_wait
        while True:
            left = max(0.0, ends - time.monotonic())
            pause = round(min(left, longest) * 1000)
            page = self._session.send(calls.read(after, wanted, pause, since=since))
            if page.records or time.monotonic() >= ends:
                return page
            after, since = page.next, None

    def follow(
        self,
        after: int = 0,
        *,
        since: int | None = None,
        prefix: KeyLike = (),
        type: str | None = None,
        action: StreamAction | None = None,
    ) -> Iterator[StreamRecord]:
        """All records behind a position, or from a time on, and then each one as it comes, for
        ever.

        Raises `StreamTrimmed` as `read` does.
        """
        while True:
            page = self.read(
                after,
                since=since,
                limit=MAX_LIMIT,
                prefix=prefix,
                type=type,
                action=action,
                wait="30s",
            )
            yield from page.records
            after, since = page.next, None

    def seq(self) -> int:
        """The position of the newest record; 0 if there never was one."""
        return self._session.send(calls.newest())

    def trim(self, up_to: int) -> int:
        """Remove the records up to a position, but for the newest of all; how many that were."""
        return self._session.send(calls.trim(up_to))
