"""`snapshot=true`: over HTTP, with the clients, with two hosts, and on the command line."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import AsyncKv, Kv, KvEntry, SnapshotGone
from support.api import Api, api_of
from support.live import live_server

pytestmark = [pytest.mark.engines("sqlite", "libsql"), pytest.mark.slow]

SIZE = 60


def fill(api: Api) -> None:
    api.json("DELETE", "/keys/t")
    api.mutate(*({"type": "set", "key": ["t", n], "value": n} for n in range(SIZE)))
    api.put("t/0/token", 1)


@contextmanager
def moving_token(*apis: Api) -> Iterator[None]:
    """A token that is moved between keys, at once by nobody but all the time by somebody."""
    done = threading.Event()

    def move() -> None:
        dice = random.Random(3)
        place = 0
        while not done.is_set():
            there = dice.randrange(SIZE)
            if there != place:
                dice.choice(apis).mutate(
                    {"type": "delete", "key": ["t", place, "token"]},
                    {"type": "set", "key": ["t", there, "token"], "value": 1},
                )
                place = there

    with ThreadPoolExecutor() as threads:
        moving = threads.submit(move)
        try:
            yield
        finally:
            done.set()
        moving.result()


def tokens(entries: list[KvEntry[Any]]) -> int:
    assert len(entries) >= SIZE
    return sum(entry.key[-1] == "token" for entry in entries)


def test_the_token_is_in_every_snapshot_once(api: Api) -> None:
    fill(api)
    with Kv(api.base) as kv, moving_token(api):
        store = kv.store(["t"])
        for _ in range(8):
            assert tokens(list(kv.list(["t"], page_size=7, snapshot=True))) == 1
            assert tokens(list(kv.list(["t"], page_size=7, reverse=True, snapshot=True))) == 1
            assert tokens(list(store.list(snapshot=True))) == 1
            found: list[Any] = []
            cursor = None
            while True:
                page = store.paginate(limit=9, cursor=cursor, snapshot=True)
                found += page.entries
                cursor = page.cursor
                if cursor is None:
                    break
            assert tokens(found) == 1


async def test_the_awaiting_client_has_the_same(api: Api) -> None:
    fill(api)
    async with AsyncKv(api.base) as kv:
        with moving_token(api):
            for _ in range(5):
                found = [e async for e in kv.list(["t"], page_size=7, snapshot=True)]
                assert tokens(found) == 1
                assert tokens(list(await kv.store(["t"]).get_all(snapshot=True))) == 1


def test_both_routes_take_it(api: Api) -> None:
    fill(api)
    for method in ("GET", "POST"):
        seen: list[Any] = []
        cursor = None
        while True:
            options = {"prefix": "t", "limit": 25, "snapshot": True, "cursor": cursor}
            given = {name: value for name, value in options.items() if value is not None}
            if method == "GET":
                page = api.json("GET", "/keys/paginate", query={**given, "snapshot": "true"})
            else:
                page = api.json("POST", "/keys/paginate", {**given, "start": "t/0", "end": "t/99"})
            seen += page["entries"]
            cursor = page["cursor"]
            assert page["hasMore"] is (cursor is not None)
            api.put("t/59", "changed")
            if cursor is None:
                break
        assert [entry["value"] for entry in seen][-1] != "changed" or method == "POST"
        assert len(seen) == SIZE + 1
    assert len(api.json("GET", "/keys", query={"prefix": "t", "snapshot": "true"})) == SIZE + 1
    assert len(api.json("POST", "/keys/list", {"prefix": "t", "snapshot": True})) == SIZE + 1
    assert "must be true or false" in api.error(
        "GET", "/keys/paginate", query={"prefix": "t", "snapshot": "yes"}
    )
    assert "is one of a snapshot" in api.error(
        "GET",
        "/keys/paginate",
        query={
            "prefix": "t",
            "cursor": api.json(
                "GET", "/keys/paginate", query={"prefix": "t", "limit": 5, "snapshot": "true"}
            )["cursor"],
        },
    )


def test_two_hosts_on_one_store(tmp_path: Path, host_config: Callable[..., dict[str, Any]]) -> None:
    """The other host looks into the log: the page is right, or refused."""
    with (
        live_server(tmp_path, host_config()) as first,
        live_server(tmp_path) as second,
        api_of(first.api) as one,
        api_of(second.api) as two,
        Kv(first.api) as here,
        Kv(second.api) as there,
    ):
        fill(one)
        page = here.paginate(["t"], limit=20, snapshot=True)
        rest = there.paginate(["t"], limit=100, cursor=page.cursor, snapshot=True)
        assert tokens([*page.entries, *rest.entries]) == 1
        complete = gone = 0
        with moving_token(one, two):
            for _ in range(30):
                found: list[KvEntry[Any]] = []
                cursor = None
                try:
                    while True:
                        for kv in (here, there):
                            page = kv.paginate(["t"], limit=30, cursor=cursor, snapshot=True)
                            found += page.entries
                            cursor = page.cursor
                            if cursor is None:
                                break
                        if cursor is None:
                            break
                except SnapshotGone:
                    gone += 1
                else:
                    assert tokens(found) == 1
                    complete += 1
            assert complete + gone == 30
            assert tokens(list(there.list(["t"], page_size=7, snapshot=True))) == 1


@pytest.mark.parametrize("held", [True, False])
def test_a_snapshot_that_is_gone_is_410(
    tmp_path: Path, host_config: Callable[..., dict[str, Any]], held: bool
) -> None:
    config = host_config(snapshots={"maxIdle": "30s" if held else 1})
    with live_server(tmp_path, config) as server, api_of(server.api) as api:
        fill(api)
        query = {"prefix": "t", "limit": "10", "snapshot": "true"}
        cursor = api.json("GET", "/keys/paginate", query=query)["cursor"]
        api.put("t/12", "changed")
        for _ in range(200):
            response = api.send("GET", "/keys/paginate", query={**query, "cursor": cursor})
            if held or response.status_code != 200:
                break
        assert response.status_code == (200 if held else 410)
        if not held:
            assert response.json()["code"] == "KEYVAL_SNAPSHOT_GONE"
