"""Writes log lines without ever holding up the code that logs.

A pipe that nobody reads is full after some 64 KB, and a disk can stop for seconds. While a host
serves, a thread writes; lines that it cannot write in time are dropped and counted.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
import time
from typing import TextIO

MAX_WAITING_BYTES = 4 * 1024**2
"""Most bytes of lines that wait for the thread; further ones are dropped."""

PATIENCE_SECONDS = 1.0
"""Seconds to wait for a line without a thread, and for the last lines of the process with one."""

AT_ONCE_BYTES = getattr(select, "PIPE_BUF", 512)
"""A writable pipe takes that many bytes without waiting, and in one piece."""


class LineHandler(logging.Handler):
    """Writes records as lines to a stream, directly at first, from a thread after `start`."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        # Each is written by one thread only, so that none needs a lock.
        self._taken = 0
        self._done = 0
        self.dropped = 0
        """Lines that were not written, since the start of the process."""
        self._told = 0
        """How many of these the log itself has reported."""

    def start(self) -> None:
        """Write from a thread from now on. A process that forks must not call this before."""
        if self._thread is None and self._descriptor is not None:
            self._thread = threading.Thread(target=self._write_lines, daemon=True, name="log")
            self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or have it written."""
        try:
            line = f"{self.format(record)}\n".encode(self._encoding, "backslashreplace")
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)
            return
        if self._thread is None:
            if not self._write_at_once(line):
                self.dropped += 1
        elif self._taken - self._done > MAX_WAITING_BYTES:
            self.dropped += 1
        else:
            self._taken += len(line)
            self._lines.put(line)

    def flush(self) -> None:
        """Wait until everything is written, but not for ever."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._taken != self._done and time.monotonic() < deadline:
            time.sleep(0.001)

    def _write_at_once(self, line: bytes) -> bool:
        """Write a line now; return whether there was room for it."""
        if self._descriptor is None:
            self._stream.write(line.decode(self._encoding))
            self._stream.flush()
            return True
        waiting = select.poll() if hasattr(select, "poll") else None
        if waiting is not None:
            waiting.register(self._descriptor, select.POLLOUT)
        rest = memoryview(line)
        while rest:
            if waiting is not None and not waiting.poll(PATIENCE_SECONDS * 1000):
                return False
            try:
                rest = rest[os.write(self._descriptor, rest[:AT_ONCE_BYTES]) :]
            except OSError:
                return False  # nobody reads it any more
        return True

    def _write_lines(self) -> None:
        """Write lines as they come, and report dropped ones."""
        while True:
            line = self._lines.get()
            written = self._written(line)
            self._done += len(line)
            if not written:
                self.dropped += 1
            elif self.dropped != self._told and not self._lines.qsize():
                self._tell_dropped()

    def _written(self, line: bytes) -> bool:
        """Write a line, however long that takes; return False where it is impossible."""
        assert self._descriptor is not None  # noqa: S101 - see `start`
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            return False
        return True

    def _tell_dropped(self) -> None:
        count, self._told = self.dropped - self._told, self.dropped
        text = f"{count} log lines were dropped here, because they were not read in time"
        self.handle(logging.makeLogRecord(
            {"name": "App", "levelname": "WARNING", "levelno": logging.WARNING, "msg": text}
        ))  # fmt: skip


def write_in_background() -> None:
    """Let the process's log be written by threads from now on."""
    for handler in _handlers():
        handler.start()


def dropped_lines() -> int:
    """The number of lines missing from the process's log."""
    return sum(handler.dropped for handler in _handlers())


def _handlers() -> list[LineHandler]:
    return [item for item in logging.getLogger().handlers if isinstance(item, LineHandler)]


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, AttributeError):
        return None  # a stream in memory
