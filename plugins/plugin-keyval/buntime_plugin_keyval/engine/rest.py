"""Looking for foreign commits less often while the database reports writes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SETTLED_SECONDS = 2.0
"""What was being written when word of writes was asked for has been committed after so long."""

REST_SECONDS = 1.0
"""Between two looks at a database that rests: word of a write may be late, or not come."""


WhenWritten = Callable[[Callable[[], None]], bool]


def nothing_is_due() -> float:
    """For loops to which nothing happens but commits."""
    return float("inf")


class Rest:
    """How long one loop may wait between two looks."""

    def __init__(
        self, when_written: WhenWritten, due_in: Callable[[], float] = nothing_is_due
    ) -> None:
        """`when_written` is the adapter's; for `due_in()` seconds nothing is due by itself."""
        self._when_written = when_written
        self._due_in = due_in
        self._since: float | None = None
        """Since when word of a write is waited for."""
        self.disturbed: Callable[[], None] | None = None
        """Called when it comes."""

    def pause(self, seconds: float) -> float:
        """The next pause of a loop that has found nothing new and looks every `seconds`."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            if seconds < REST_SECONDS and self._when_written(self._written):
                self._since = now
        elif now - self._since >= SETTLED_SECONDS:
            return max(seconds, min(REST_SECONDS, self._due_in()))
        return seconds

    def _written(self) -> None:
        self._since = None
        if self.disturbed is not None:
            self.disturbed()
