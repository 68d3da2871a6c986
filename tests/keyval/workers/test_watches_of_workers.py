"""What watchers of two workers are told while both write, and who comes back to another one."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager

from keyval.watch.bank import OpenStream, run_bank
from support.api import Api
from support.live import LiveServer
from support.sse import EventStream, event_stream
from support.workers import connect_to


def test_no_commit_is_told_in_halves(server: LiveServer, one: Api, two: Api) -> None:
    turns = itertools.count()

    def stream_of(worker: int) -> OpenStream:
        def open_stream(headers: dict[str, str]) -> AbstractContextManager[EventStream]:
            # Every other time at the other worker: a place is one for all of them.
            connection = connect_to(server, (worker + next(turns)) % 2)
            return event_stream(
                server.api,
                "/watch/prefix",
                query={"prefix": "bank"},
                headers=headers,
                connection=connection,
            )

        return open_stream

    run_bank((one, two), (stream_of(0), stream_of(1)))
