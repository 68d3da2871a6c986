"""Commands in this process, on the server of the module, and in processes of their own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from buntime_keyval import Kv
from buntime_keyval.cli import kv
from click.testing import CliRunner
from support.forking import forking_program
from support.waiting import PATIENCE


class Done(NamedTuple):
    """What a command printed."""

    status: int
    out: str
    err: str

    @property
    def documents(self) -> list[Any]:
        """Its lines as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class Commands:
    """Runs `buntime kv ...` on one server."""

    def __init__(self, url: str) -> None:
        self.environ = {**os.environ, "BUNTIME_KV_URL": url, "COLUMNS": "100", "TERM": "xterm"}

    def __call__(self, *arguments: str, given: bytes | str = b"") -> Done:
        """The command in this process, with so much of stdin."""
        # Not by the host's command, which looks through all that is installed to find it.
        result = CliRunner().invoke(
            kv, arguments, given, {**self.environ, "BUNTIME_KV_TOKEN": None}, prog_name="buntime kv"
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def ok(self, *arguments: str, given: bytes | str = b"") -> Done:
        """The same; it has to succeed."""
        done = self(*arguments, given=given)
        assert done.status == 0, done.err
        return done

    @contextmanager
    def process(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A process with pipes; it is killed at the end if it still runs."""
        process = subprocess.Popen(
            [forking_program("buntime_host", "buntime"), "kv", *arguments],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def at_terminal(self, *arguments: str, typed: str = "", awaited: str = "") -> Done:
        """A process at a terminal, where `typed` comes when `awaited` was printed."""
        main, side = pty.openpty()
        process = subprocess.Popen(
            [forking_program("buntime_host", "buntime"), "kv", *arguments],
            env=self.environ,
            stdin=side,
            stdout=side,
            stderr=side,
        )
        os.close(side)
        printed = b""
        deadline = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < deadline:
                if typed and awaited in printed.decode("utf-8", "replace"):
                    os.write(main, typed.encode())
                    typed = ""
                if not select.select([main], [], [], 0.1)[0]:
                    continue
                try:
                    chunk = os.read(main, 65536)
                except OSError:  # so Linux tells that the other end is closed
                    break
                if not chunk:
                    break
                printed += chunk
            return Done(process.wait(PATIENCE), printed.decode().replace("\r\n", "\n"), "")
        finally:
            process.kill()
            process.wait()
            os.close(main)


@pytest.fixture
def run(api: str) -> Commands:
    """Commands on an empty store."""
    return Commands(api)


@pytest.fixture
def store(api: str) -> Iterator[Kv]:
    """The client of the same store."""
    with Kv(api) as kv:
        yield kv


def interrupt(process: subprocess.Popen[str]) -> int:
    """Ctrl-C; the status."""
    process.send_signal(signal.SIGINT)
    return process.wait(PATIENCE)
