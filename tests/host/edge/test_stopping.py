"""A stop waits for those who take their answers, however slowly, and not for those who do not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from host.conftest import wait_for
from host.edge.conftest import PATIENT, Edge, Line, request, start

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = PATIENT | {"drainTimeout": "1h", "shutdownTimeout": "2h"}
TAKEN, PAUSE, SLOWLY = 20_000, 0.1, 50
"""Bytes that a slow client takes at once, seconds between, and how often; then the rest."""


@pytest.fixture
def stopping(tmp_path: Path) -> Iterator[Edge]:
    """A server that has long for a stop."""
    process = start(tmp_path, CONFIG)
    edge = Edge(process)
    yield edge
    for line in edge.opened:
        line.socket.close()
    assert process.wait() == 0
    assert "Traceback" not in process.err + process.out


def begun(edge: Edge, path: str) -> Line:
    """An answer of which nothing is taken but how it begins."""
    line = edge.line(request("GET", path), small=True)
    line.until(b"\r\n\r\n")
    return line


@pytest.mark.parametrize("path", ["/edge/large?bytes=20000000", "/edge/stream?parts=400"])
def test_nobody_waits_for_a_client_that_takes_nothing(stopping: Edge, path: str) -> None:
    line = begun(stopping, path)
    process = stopping.process
    process.signal()
    assert process.wait() == 0  # long before the end of its hour
    assert "send_timeout 1" in process.out + process.err
    assert len(line.rest()) < 20_000_000


@pytest.mark.parametrize("path", ["/edge/large?bytes=8000000", "/edge/stream?parts=160"])
def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(stopping: Edge, path: str) -> None:
    """So slowly that the system asks this process for nothing more meanwhile."""
    line = begun(stopping, path)
    stopping.process.signal()
    wait_for(lambda: "Shutting down" in stopping.process.out, "the shutdown")
    taken = 0
    for _ in range(SLOWLY):
        taken += len(line.socket.recv(TAKEN))
        time.sleep(PAUSE)
    assert taken + len(line.rest()) >= 8_000_000
