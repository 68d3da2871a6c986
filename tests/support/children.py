"""Children of a test, none of which outlives it: a run that waits for one does not end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from support.waiting import PATIENCE


def exit_code(child: int) -> int:
    """How a forked child has ended; it is killed if it does not, as one that waits for a thread of
    its parent, which it does not have."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"the child {child} did not end")


@contextmanager
def program(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program beside a test, with the options of `Popen`; killed if it still runs at the end.

    `with Popen(...)` would wait for it, for ever where the test has failed before it told it to
    end.
    """
    with subprocess.Popen(command, **options) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.kill()
