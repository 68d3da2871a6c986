"""Servers that die under a running host: what is refused, what is kept, what goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any

import pytest
from keyval.libsql.support import config_of, run_sql
from support.api import Api, api_of
from support.live import LiveServer, live_server
from support.sqld import Sqld
from support.waiting import PATIENCE

WRITERS = 4


@pytest.fixture
def host(own_pair: list[Sqld], tmp_path: Path) -> Iterator[LiveServer]:
    with live_server(tmp_path, config_of(own_pair, operationTimeout=5000)) as running:
        yield running


class Load:
    """Writers that put one key after another, and what they were answered."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.acknowledged: list[tuple[int, int]] = []
        self.refused: list[tuple[int, Any, tuple[int, int]]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(WRITERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, writer: int) -> None:
        with api_of(self.base) as api:
            number = 0
            while not self._stop.is_set():
                response = api.send("PUT", f"/keys/load/{writer}/{number}", {"number": number})
                if response.status_code == 200:
                    self.acknowledged.append((writer, number))
                else:
                    answer = response.json()
                    self.refused.append((response.status_code, answer, (writer, number)))
                    time.sleep(0.01)
                number += 1


def _wait_for_more(answers: Sized, number: int) -> None:
    wanted = len(answers) + number
    deadline = time.monotonic() + PATIENCE
    while len(answers) < wanted:
        assert time.monotonic() < deadline, "there were not enough answers in time"
        time.sleep(0.02)


def _wait_for_the_replica(api: Api) -> None:
    """Until it answers, so that it has all that was written: without it, reads are refused."""
    deadline = time.monotonic() + PATIENCE
    before = _replica_reads(api)
    while _replica_reads(api) == before:
        assert time.monotonic() < deadline, "the replica did not answer in time"
        api.value("a")


def _replica_reads(api: Api) -> int:
    return int(api.json("GET", "/metrics")["engine"]["replica_reads"])


def test_the_primary_is_killed_under_load_and_comes_back(
    own_pair: list[Sqld], host: LiveServer
) -> None:
    primary, _ = own_pair
    with Load(host.api) as load:
        for _ in range(2):
            _wait_for_more(load.acknowledged, 50)
            primary.kill()
            _wait_for_more(load.refused, 10)
            primary.start()
            _wait_for_more(load.acknowledged, 50)
    not_written: set[tuple[int, int]] = set()
    for status, body, write in load.refused:
        assert status == 503
        if body["code"] == "KEYVAL_DB_DOWN":
            assert body["error"].startswith("KeyVal storage unavailable: ")
            not_written.add(write)
        else:
            assert body["code"] == "KEYVAL_OUTCOME_UNKNOWN"
            assert body["error"].startswith("The write may have been applied or not: ")
    assert not_written
    with api_of(host.api) as api:
        for writer in range(WRITERS):
            there = {int(key[2]) for key in _all_keys(api, writer)}
            missing = {n for w, n in load.acknowledged if w == writer} - there
            assert not missing, "an acknowledged write is lost"
            denied = {n for w, n in not_written if w == writer} & there
            assert not denied, "a write happened that was denied"
    assert host.process.poll() is None
    # Log and entries are of one transaction each: no write is there by half.
    ((halves,),) = run_sql(
        primary,
        "SELECT count(*) FROM kv_entries"
        " WHERE versionstamp NOT IN (SELECT versionstamp FROM kv_changes)",
    )
    assert halves == "0"


def test_every_route_says_so_while_the_primary_is_down(
    own_pair: list[Sqld], host: LiveServer
) -> None:
    primary, _ = own_pair
    with api_of(host.api) as api:
        api.put("a", 1)
        _wait_for_the_replica(api)
        primary.kill()
        for method, path, body in (
            ("PUT", "/keys/a", 2),
            ("DELETE", "/keys/a", {}),
            ("POST", "/atomic", {"mutations": [{"type": "sum", "key": ["a"], "value": 1}]}),
            ("POST", "/queue/enqueue", {"value": 1}),
            ("POST", "/indexes", {"prefix": ["a"], "options": {"fields": ["x"]}}),
        ):
            response = api.send(method, path, body)
            assert (response.status_code, response.json()["code"]) == (503, "KEYVAL_DB_DOWN"), path
        # What only reads is served by the replica.
        assert api.json("GET", "/keys/a")["value"] == 1
        primary.start()
        for number in range(2, 30):
            # The replica still has the old primary's log, which was longer than the new one's.
            api.put("a", number)
            assert api.value("a") == number


def test_reads_go_on_while_the_replica_is_down(own_pair: list[Sqld], host: LiveServer) -> None:
    _, replica = own_pair
    with api_of(host.api) as api:
        api.put("a", 0)
        assert api.value("a") == 0
        replica.kill()
        for number in range(1, 30):
            api.put("a", number)
            assert api.value("a") == number
            assert len(api.keys()) == 1


def test_a_replica_never_shows_less_than_what_was_answered(
    own_pair: list[Sqld], host: LiveServer
) -> None:
    """Reads alternate with writes as fast as they can: half of them would be stale otherwise."""
    with api_of(host.api) as api:
        api.put("a", 0)
        _wait_for_the_replica(api)
        before = _replica_reads(api)
        for number in range(100):
            stamp = api.put("a", number)
            entry = api.json("GET", "/keys/a")
            assert (entry["value"], entry["versionstamp"]) == (number, stamp)
        assert _replica_reads(api) >= before + 100


def test_weakness_03_compare_and_set_with_a_stale_replica(
    own_pair: list[Sqld], tmp_path: Path
) -> None:
    """Two hosts: what one has just written, the other's commits know, whatever its replica has."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    with (
        live_server(folders[0], config_of(own_pair)) as one,
        live_server(folders[1], config_of(own_pair)) as two,
        api_of(one.api) as first,
        api_of(two.api) as second,
    ):
        for number in range(50):
            stamp = first.put("a", number)
            check = {"key": ["a"], "versionstamp": stamp}
            mutation = {"type": "set", "key": ["b"], "value": number}
            answer = second.json("POST", "/atomic", {"checks": [check], "mutations": [mutation]})
            assert answer["ok"] is True


def _all_keys(api: Api, writer: int) -> list[Any]:
    keys: list[Any] = []
    cursor: str | None = None
    while True:
        query = {
            "prefix": f"load/{writer}",
            "limit": 1000,
            **({"cursor": cursor} if cursor else {}),
        }
        page = api.json("GET", "/keys/paginate", query=query)
        keys += [entry["key"] for entry in page["entries"]]
        cursor = page.get("cursor")
        if not page["hasMore"]:
            return keys
