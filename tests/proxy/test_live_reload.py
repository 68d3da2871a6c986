"""Rules of the store are in force in every process, a moment after anybody wrote them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from proxy.conftest import Serve, client_for
from support.database import wait_until
from support.live import LiveServer
from support.waiting import PATIENCE
from support.workers import client_of

RULES = "/redirects/api/rules"


def statuses(client: httpx2.Client, *paths: str) -> list[int]:
    return [client.get(path).status_code for path in paths]


def wait_for(client: httpx2.Client, expected: dict[str, int]) -> None:
    """Wait until the paths have these statuses."""
    wait_until(lambda: statuses(client, *expected) == [*expected.values()])


@pytest.mark.slow
def test_17_rules_come_and_go_in_all_workers_and_hosts(
    serve: Serve, target: str, tmp_path: Path
) -> None:
    rule = {"pattern": "^/a(/.*)", "rewrite": "$1", "target": target}
    with (
        serve(stored=True, folder=tmp_path, workers=2) as server,
        serve(stored=True, folder=tmp_path) as other_host,
        client_of(server, 0) as one,
        client_of(server, 1) as two,
        httpx2.Client(base_url=other_host.url, trust_env=False, timeout=PATIENCE) as three,
    ):
        one.base_url = two.base_url = httpx2.URL(server.url)
        made = one.post(RULES, json=rule).json()
        assert statuses(one, "/a/x") == [200]  # at once where it was made
        for client in (two, three):
            wait_for(client, {"/a/x": 200})
        # Changes of another host, and of who has nothing but the store.
        assert three.patch(f"{RULES}/{made['id']}/toggle").json()["enabled"] is False
        for client in (one, two):
            wait_for(client, {"/a/x": 404})
        key = f"/keyval/api/keys/proxy/rules/{made['id']}"
        two.put(key, json={**rule, "pattern": "^/b(/.*)", "order": 0})
        for client in (one, two, three):
            wait_for(client, {"/a/x": 404, "/b/x": 200})
        two.put(key, json={"pattern": "("})  # no rule: it is left out, and the others hold
        two.put("/keyval/api/keys/proxy/rules/other", json={**rule, "order": 1})
        for client in (one, two, three):
            wait_for(client, {"/a/x": 200, "/b/x": 404})
        assert one.delete(f"{RULES}/other").json() == {"success": True}
        for client in (one, two, three):
            wait_for(client, {"/a/x": 404})


def test_16_150_rules_survive_a_restart(serve: Serve, target: str, tmp_path: Path) -> None:
    def rules_of(server: LiveServer) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get(f"{server.url}{RULES}").json()
        return found

    with httpx2.Client(trust_env=False, timeout=PATIENCE) as client:
        with serve(stored=True, folder=tmp_path) as server:
            rules = [
                {"pattern": f"^/r{number}/(.*)", "rewrite": "/$1", "target": target}
                for number in range(150)
            ]
            # Most of them as another process would write them, in one commit.
            mutations = [
                {"type": "set", "key": ["proxy", "rules", f"r{n}"], "value": {**rule, "order": n}}
                for n, rule in enumerate(rules[:140])
            ]
            client.post(f"{server.url}/keyval/api/atomic", json={"mutations": mutations})
            for number in range(140, 150):
                answer = client.post(f"{server.url}{RULES}", json=rules[number])
                assert answer.json()["order"] == number
            before = rules_of(server)
            assert len(before) == 150
        with serve(stored=True, folder=tmp_path) as server:
            assert rules_of(server) == before
            for number in (0, 99, 100, 149):
                told = client.get(f"{server.url}/r{number}/x").json()
                assert told["path"] == "/x"
            ids = [rule["id"] for rule in before][::-1]
            answer = client.put(f"{server.url}{RULES}/reorder", json={"ids": ids})
            assert [rule["id"] for rule in answer.json()] == ids


def test_rules_of_older_versions_get_an_order(serve: Serve, target: str, tmp_path: Path) -> None:
    with httpx2.Client(trust_env=False, timeout=PATIENCE) as client:
        with serve(stored=True, folder=tmp_path) as server:
            for name in ("b", "a"):
                rule = {"pattern": f"^/{name}", "target": target}
                client.put(f"{server.url}/keyval/api/keys/proxy/rules/{name}", json=rule)
        with serve(stored=True, folder=tmp_path) as server:
            rules = client.get(f"{server.url}{RULES}").json()
            assert [(rule["id"], rule["order"]) for rule in rules] == [("a", 0), ("b", 1)]
            stored = client.get(f"{server.url}/keyval/api/keys/proxy/rules/b").json()
            assert stored["value"]["order"] == 1


def test_changes_at_the_same_time_are_all_there(serve: Serve, target: str) -> None:
    """Of one rule, by fields: none is lost, and whoever cannot be served is told (409)."""
    with serve(stored=True) as server, client_for(server) as client:
        made = client.post(RULES, json={"pattern": "^/x", "target": target}).json()
        fields: list[dict[str, Any]] = [
            {"name": "n"}, {"rewrite": "/y"}, {"base": "/z"}, {"secure": False}, {"ws": False},
        ]  # fmt: skip

        def change(fields: dict[str, Any]) -> int:
            return client.put(f"{RULES}/{made['id']}", json=fields).status_code

        with ThreadPoolExecutor(5) as threads:
            answers = list(threads.map(change, fields))
        now = client.get(f"{RULES}/{made['id']}").json()
        assert set(answers) <= {200, 409}
        for answer, changed in zip(answers, fields, strict=True):
            if answer == 200:
                assert now == {**now, **changed}


def test_there_is_an_end_of_rules(serve: Serve, target: str) -> None:
    """Also of those that others write: the first ones count, and all of them are kept."""
    with serve(stored=True) as server, client_for(server) as client:
        for start in (0, 500):
            mutations = [
                {
                    "type": "set",
                    "key": ["proxy", "rules", f"r{number:04}"],
                    "value": {"pattern": f"^/r{number}/", "target": target, "order": number},
                }
                for number in range(start, start + 501)
            ]
            assert client.post("/keyval/api/atomic", json={"mutations": mutations}).json()["ok"]
        wait_for(client, {"/r0/x": 200, "/r999/x": 200, "/r1000/x": 404})
        answer = client.post(RULES, json={"pattern": "^/more", "target": target})
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "There may be at most 1000 rules",
        )
        server.wait_for_output("only the first 1000 count")
