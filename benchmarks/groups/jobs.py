"""`jobs`: tasks, consumers and locks over HTTP; whatever is answered is checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from group import Group, Plan, Selection, Settings
from job_load import BATCH, HOLDERS, IDLE_EACH, RUNNERS, consume, idle, locks, tasks, tasks_each
from live_server import LiveServer
from results import Row, Section

from groups.live import BARE_ROW, OURS, beside_bare, job_of, rate_row

CASES = {
    "idle": idle,
    "tasks": tasks,
    "tasks-each": tasks_each,
    "consume": consume,
    "locks": locks,
}
ROOM = 2 * IDLE_EACH
"""For callers that wait, all from one address."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    server = LiveServer({"queue": {"maxListeners": ROOM, "maxListenersPerClient": ROOM}})
    with beside_bare(server, folder, settings) as bare:
        jobs = [job_of(server, CASES, it, settings) for it in CASES if it in chosen["jobs"]]
        yield Plan([bare, *jobs], [SECTION])


SECTION = Section(
    "jobs",
    "Tasks, consumers and locks",
    [
        BARE_ROW,
        rate_row("tasks", f"tasks leased and completed, {RUNNERS} runners", 3_000),
        rate_row("tasks-each", "the same, a request for each that is done", 1_500),
        rate_row("consume", f"records read and committed in batches of {BATCH:,}", 50_000),
        rate_row("locks", f"locks acquired and released, {HOLDERS} holders", 5_000),
        Row(("idle", OURS), "a core's share, 1,000 runners and waiters", "%", most=1),
        Row(("no-idle", OURS), "a core's share, nobody waits", "%"),
    ],
)
GROUP = Group({"jobs": tuple(CASES)}, opened)
