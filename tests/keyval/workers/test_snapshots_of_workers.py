"""A snapshot is held by the worker that began it; the others let that one answer."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from buntime_keyval import Kv
from keyval.snapshots.test_snapshots_over_http import SIZE, fill, moving_token, tokens
from support.api import Api
from support.live import LiveServer, live_server
from support.workers import api_of_worker

QUERY = {"prefix": "t", "limit": "9", "snapshot": "true"}


def test_each_page_may_come_from_another_worker(one: Api, two: Api) -> None:
    fill(one)
    with moving_token(one, two):
        for round_ in range(10):
            found: list[Any] = []
            cursor: str | None = None
            for turn in range(100):
                api = (one, two)[(turn + round_) % 2]
                options: dict[str, Any] = {"cursor": cursor} if cursor else {}
                if turn % 3:
                    page = api.json("GET", "/keys/paginate", query={**QUERY, **options})
                else:
                    body = {"prefix": "t", "limit": 9, "snapshot": True, **options}
                    page = api.json("POST", "/keys/paginate", body)
                found += page["entries"]
                cursor = page["cursor"]
                if cursor is None:
                    break
            assert len(found) == SIZE + 1
            assert sum(entry["key"][-1] == "token" for entry in found) == 1


def test_the_client_needs_not_know(server: LiveServer, one: Api, two: Api) -> None:
    fill(one)
    with Kv(server.api) as kv, moving_token(one, two):
        for _ in range(10):
            assert tokens(list(kv.list(["t"], page_size=7, snapshot=True))) == 1


def test_one_that_died_with_its_worker_goes_on_by_the_log(tmp_path: Path) -> None:
    with live_server(tmp_path, workers=2) as server:
        pids = server.worker_pids()
        with api_of_worker(server, 0) as zero:
            fill(zero)
            with api_of_worker(server, 1) as one:
                cursor = one.json("GET", "/keys/paginate", query=QUERY)["cursor"]
            os.kill(pids[1], signal.SIGKILL)
            server.wait_for_output("Worker 1 is back")
            page = zero.json("GET", "/keys/paginate", query={**QUERY, "cursor": cursor})
            assert len(page["entries"]) == 9
            zero.put("t/12", "changed")
            response = zero.send("GET", "/keys/paginate", query={**QUERY, "cursor": cursor})
            assert response.status_code == 410


def test_one_that_died_with_its_worker_is_gone_while_that_is_away(tmp_path: Path) -> None:
    with live_server(tmp_path, workers=2) as server:
        pids = server.worker_pids()
        with api_of_worker(server, 0) as zero:
            fill(zero)
            with api_of_worker(server, 1) as one:
                cursor = one.json("GET", "/keys/paginate", query=QUERY)["cursor"]
            zero.put("t/12", "changed")
            os.kill(pids[1], signal.SIGKILL)
            while "Worker 1 is back" not in server.output:
                response = zero.send("GET", "/keys/paginate", query={**QUERY, "cursor": cursor})
                assert response.status_code == 410, response.text
