"""A log that nobody reads holds up nothing, and says later what it lacks."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, TextIO
from urllib.request import urlopen

import pytest
from buntime_host.observe.log_output import MAX_WAITING_BYTES, LineHandler
from host.conftest import base_environ, wait_for
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from host.conftest import AddPlugin

LINE_BYTES = 1_000


class Pipe:
    """A pipe whose reader decides when it reads."""

    def __init__(self) -> None:
        self.reading, writing = os.pipe()
        self.stream: TextIO = os.fdopen(writing, "w")
        self.handler = LineHandler(self.stream)
        self.handler.setFormatter(logging.Formatter("%(message)s"))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.text = ""

    def log(self, text: str) -> None:
        self.handler.handle(logging.makeLogRecord({"msg": text}))

    def read(self) -> None:
        """Read from now on."""
        self._reader.start()

    def _read(self) -> None:
        while data := os.read(self.reading, 1 << 16):
            self.text += data.decode()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    if not pipe._reader.is_alive():
        pipe.read()
    pipe.handler.flush()
    pipe.stream.close()
    pipe._reader.join(10)
    os.close(pipe.reading)


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    pipe.read()
    pipe.log("first")
    pipe.handler.start()
    for number in range(1_000):
        pipe.log(f"{number} \udce4")
    pipe.handler.flush()
    wait_for(lambda: pipe.text.count("\n") == 1_001, "the lines")
    assert pipe.text == "first\n" + "".join(f"{number} \\udce4\n" for number in range(1_000))


def test_what_nobody_reads_is_dropped_and_told_of(pipe: Pipe) -> None:
    pipe.handler.start()
    sent = 2 * MAX_WAITING_BYTES // LINE_BYTES
    for _ in range(sent):
        pipe.log("a" * LINE_BYTES)
    dropped = pipe.handler.dropped
    assert 0 < dropped < sent
    pipe.read()
    wait_for(lambda: "dropped here" in pipe.text, "word of what is missing")
    assert f"{dropped} log lines were dropped" in pipe.text
    assert pipe.text.count("a\n") == sent - dropped
    pipe.log("afterwards")
    wait_for(lambda: pipe.text.endswith("afterwards\n"), "the next line")


def test_without_a_thread_it_waits_a_moment(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buntime_host.observe.log_output.PATIENCE_SECONDS", 0.01)
    for _ in range(200):
        pipe.log("a" * LINE_BYTES)
    assert pipe.handler.dropped > 0


def test_a_reader_that_left_is_no_error(pipe: Pipe) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        handler = LineHandler(stream)
        handler.handle(logging.makeLogRecord({"msg": "a"}))
        handler.start()
        handler.handle(logging.makeLogRecord({"msg": "b"}))
        handler.flush()
        assert handler.dropped == 2


def test_a_server_whose_log_nobody_reads(add_plugin: AddPlugin, tmp_path: Path) -> None:
    code = """
        import logging
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        async def talk(request):
            for _ in range(100):
                logging.getLogger("talk").info("a" * 1000)
            return PlainTextResponse("said")

        @hookimpl
        def routes():
            return [Route("/it", talk)]
    """
    add_plugin("talk", code, base="/talk")
    command = [sys.executable, "-m", "buntime_host", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=base_environ(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        match = None
        while match is None:
            match = re.search(r"listening on (http://[^\s\"]+)", process.stdout.readline())
        url = match[1]
        for _ in range(100):  # 10 MB, of which the pipe takes 64 KB and the thread 4 MB
            with urlopen(f"{url}/talk/it", timeout=PATIENCE) as answer:
                assert answer.read() == b"said"
        with urlopen(f"{url}/metrics", timeout=PATIENCE) as answer:
            assert re.search(
                r"^buntime_log_lines_dropped_total [1-9]", answer.read().decode(), re.M
            )
        process.terminate()
        assert process.wait(PATIENCE) == 0
        lines = process.stdout.read().splitlines()
        assert all(json.loads(line) for line in lines[:-1])
    finally:
        process.kill()
        process.stdout.close()
