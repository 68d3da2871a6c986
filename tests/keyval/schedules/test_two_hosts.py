"""Two hosts on one database: schedules start a task once, and limits of tasks count for both."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from keyval.engines import Engine
from keyval.pairs import Pair, pair_of_hosts
from support.api import Api
from support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.engines("sqlite", "postgres", "rqlite")]

SCHEDULES = 8
TASKS = 8
CALLS = 8


@pytest.fixture(scope="module")
def pair(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of_hosts(engine, tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def put(api: Api, name: str, *, paused: bool) -> dict[str, Any]:
    """A schedule that starts tasks of its name each second."""
    every = {"every": "1s", "missed": "all", "task": {"name": name}, "paused": paused}
    found: dict[str, Any] = api.json("PUT", f"/schedules/{name}", every)
    return found


def lease(api: Api, name: str) -> list[dict[str, Any]]:
    """At most two tasks of a name."""
    wanted = {"runner": "w1", "names": [name], "limit": 2}
    found: list[dict[str, Any]] = api.json("POST", "/tasks/lease", wanted)["tasks"]
    return found


def lease_on_both(pair: Pair, name: str) -> list[dict[str, Any]]:
    """All that both give, who are asked at the same time, and once more when they have answered."""
    with ThreadPoolExecutor(CALLS) as threads:
        leased = [*threads.map(lambda number: lease(pair[number % 2], name), range(CALLS))]
    return [
        task for tasks in (*leased, lease(pair.one, name), lease(pair.two, name)) for task in tasks
    ]


async def test_each_time_of_a_schedule_starts_one_task(pair: Pair) -> None:
    names = [f"tick-{number}" for number in range(SCHEDULES)]
    first = {name: put(pair.one, name, paused=False)["next"][0] for name in names}

    def have_started() -> bool:
        return all(it["fires"] >= 2 for it in pair.two.json("GET", "/schedules")["schedules"])

    await until(have_started)
    for name in names:
        put(pair.two, name, paused=True)
        told = pair.one.json("GET", f"/schedules/{name}")
        times = 1 + (told["lastAt"] - first[name]) // 1000
        tasks = pair.one.json("GET", f"/tasks?name={name}&limit=1000")["tasks"]
        assert (len(tasks), told["fires"]) == (times, times)


def test_no_more_run_than_the_limit_says(pair: Pair) -> None:
    pair.one.json("PUT", "/tasks/limits/mail", {"maxRunning": 3})
    for _ in range(TASKS):
        assert pair.one.send("POST", "/tasks", {"name": "mail"}).status_code == 201
    running = lease_on_both(pair, "mail")
    assert len({task["id"] for task in running}) == len(running) == 3
    done = running.pop()
    pair.two.json("POST", f"/tasks/{done['id']}/complete", {"token": done["token"]})
    assert len(lease_on_both(pair, "mail")) == 1


def test_no_more_begin_in_a_time_than_the_rate_says(pair: Pair) -> None:
    pair.two.json("PUT", "/tasks/limits/call", {"rate": {"count": 3, "per": "1h"}})
    for _ in range(TASKS):
        assert pair.two.send("POST", "/tasks", {"name": "call"}).status_code == 201
    begun = lease_on_both(pair, "call")
    assert len({task["id"] for task in begun}) == len(begun) == 3
    for task in begun:
        pair.one.json("POST", f"/tasks/{task['id']}/complete", {"token": task["token"]})
    assert lease_on_both(pair, "call") == []
