"""Looking for foreign commits less often while the database says by itself when somebody writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SETTLED_SECONDS = 5.0
"""What was being written when word of writes was asked for has been committed after so long."""

REST_SECONDS = 1.0
"""Between two looks at a database that rests: word of a write may be late, or not come."""


class Rest:
    """How long one loop may wait between two looks."""

    def __init__(self, when_written: Callable[[Callable[[], None]], bool]) -> None:
        """`when_written` is that of the adapter."""
        self._when_written = when_written
        self._since: float | None = None
        """Since when word of a write is waited for."""
        self.disturbed: Callable[[], None] | None = None
        """Called when it comes."""

    def pause(self, seconds: float) -> float:
        """The next pause of whoever finds everything still, and looks each `seconds`."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            if seconds < REST_SECONDS and self._when_written(self._written):
                self._since = now
        elif now - self._since >= SETTLED_SECONDS:
            return max(seconds, REST_SECONDS)
        return seconds

    def _written(self) -> None:
        self._since = None
        if self.disturbed is not None:
            self.disturbed()
