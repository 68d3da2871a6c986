"""Ending the wait for more of a response of httpx2: a task that is cancelled needs no help."""

from __future__ import annotations

import httpx2


def interrupt(response: httpx2.Response) -> None:
    """Wake a waiter for the next chunk."""
