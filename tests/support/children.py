"""Children that a test forks of itself."""

from __future__ import annotations

import os
import signal
import time

from support.waiting import PATIENCE

"""Longer than any takes: one that waits for a thread of its parent, which it does not have, would
keep the whole run from ending."""


def exit_code(child: int) -> int:
    """How a child has ended; it is killed if it does not."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"the child {child} did not end")
