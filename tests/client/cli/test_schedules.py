from __future__ import annotations

from buntime_keyval import Kv
from client.cli.conftest import Commands


def test_schedules(run: Commands, store: Kv) -> None:
    daily = ("--cron", "0 3 * * *", "--timezone", "Europe/Lisbon", "--missed", "once")
    run.ok("schedule", "put", "sales", '{"name": "report", "payload": {"to": "ada"}}', *daily)
    (found,) = run.ok("schedule", "get", "sales", "--json").documents
    assert (found["cron"], found["timezone"], found["every"]) == (
        *("0 3 * * *", "Europe/Lisbon"),
        None,
    )
    assert (found["task"], found["missed"]) == (
        *({"name": "report", "payload": {"to": "ada"}}, "once"),
    )
    assert len(found["next"]) == 5
    run.ok("schedule", "put", "feed", "read-feed", "--every", "10m", "--paused")
    (line,) = run.ok("schedule", "list", "--after", "a", "--limit", "1").out.splitlines()
    assert line.split("\t") == ["feed", "every 600000 ms", "UTC", "read-feed", "paused", "0"]
    task_id = run.ok("schedule", "run", "sales").out.strip()
    task = store.tasks.get(task_id)
    assert task is not None
    assert (task.name, task.payload) == ("report", {"to": "ada"})
    assert run.ok("schedule", "delete", "feed", "--json").documents == [{"deleted": True}]
    for gone in ("get", "delete"):
        missing = run("schedule", gone, "feed")
        assert (missing.status, missing.err) == (1, "buntime: there is no schedule feed\n")
    wrong = run("schedule", "put", "feed", "{", "--every", "10m")
    assert (wrong.status, "neither a name nor a JSON object" in wrong.err) == (2, True)
    wrong = run("schedule", "put", "feed", "read-feed")
    assert "either cron or every is required" in wrong.err
