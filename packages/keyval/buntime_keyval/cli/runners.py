"""Commands that run tasks until they are asked to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from buntime_keyval._errors import AccessDenied
from buntime_keyval._reports import logger
from buntime_keyval.cli.output import note, one_line
from buntime_keyval.wire import Duration

if TYPE_CHECKING:
    from buntime_keyval import AsyncKv, AsyncRunner

_FORBIDDEN = 403


def run_until_told(
    open_store: Callable[[], AsyncKv],
    make_runner: Callable[[AsyncKv], AsyncRunner],
    drain: Duration = "30s",
) -> None:
    """Run tasks until SIGTERM or Ctrl-C; tasks that run then have `drain` to finish.

    What fails meanwhile is told on stderr. Raises `KvError` for a store that is not there.
    """

    async def run() -> None:
        async with open_store() as kv:
            runner = make_runner(kv)
            try:
                # A wrong address is an error, and not tried for ever.
                await kv.tasks.stats(runner.names[0])
            except AccessDenied as error:
                if error.status != _FORBIDDEN:
                    raise  # a token that only runs tasks need not count them
            note(f"{runner.name} runs tasks until Ctrl-C: {', '.join(runner.names)}")
            await runner.run(drain=drain)

    with _reports_as_notes():
        asyncio.run(run())


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(one_line(record.getMessage()))


@contextmanager
def _reports_as_notes() -> Iterator[None]:
    handler = _Notes(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
