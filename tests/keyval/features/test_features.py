"""A feature is one folder and one line: `tally` is added by that, and has a part in everything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_host import Host
from buntime_host.config import parse_config
from buntime_plugin_keyval.config import parse_config as parse_options
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.http.routes import StoreRoutes
from buntime_plugin_keyval.features.feature import Feature, Part, migrate_features
from buntime_plugin_keyval.service import FEATURES, KeyValService
from keyval.features.tally.feature import TALLY, TallyPart
from keyval.service.world import World, until

HERE = Path(__file__).parent


class Caller:
    """Requests to the store with the feature."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client

    async def json(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def commit(self, *mutations: Any, checks: Any = (), status: int = 200) -> Any:
        body = {"checks": list(checks), "mutations": list(mutations)}
        return await self.json("POST", "/atomic", body, status)

    async def total(self, name: str) -> int:
        return int((await self.json("GET", f"/tally/{name}"))["total"])


def host_of(folder: Path) -> Host:
    database = {"adapters": [{"type": "sqlite", "baseDir": str(folder)}]}
    plugins = [["@buntime/plugin-database", database], "@buntime/plugin-keyval"]
    # The folder is found before the installed plugin of the same name.
    return Host(parse_config({"plugins": plugins, "pluginDirs": [str(HERE)]}, folder))


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    async with host_of(tmp_path) as host:
        base = "http://127.0.0.1/keyval/api"
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=host), base_url=base
        ) as client:
            yield Caller(client)


def tally(name: str, by: int) -> dict[str, Any]:
    return {"type": "tally", "name": name, "by": by}


async def test_routes_of_a_feature(caller: Caller) -> None:
    await caller.json("POST", "/tally/a%2Fb/add", {"by": 3})
    await caller.json("POST", "/tally/a%2Fb/add")
    assert await caller.total("a%2Fb") == 4
    assert await caller.total("other") == 0
    refused = await caller.json("POST", "/tally/a/add", {"bye": 3}, 400)
    assert "by" in refused["error"]
    assert (await caller.json("PUT", "/tally/a", 1, 405))["error"].endswith("use GET, HEAD")
    await caller.json("GET", "/tally", status=404)
    await caller.json("GET", "/tally//add", status=404)
    await caller.json("GET", "/tally/a/b/c/d/e", status=404)


async def test_its_mutations_are_part_of_commits(caller: Caller) -> None:
    put = {"type": "set", "key": ["a"], "value": 1}
    assert (await caller.commit(put, tally("n", 2), tally("n", 3)))["ok"]
    assert await caller.total("n") == 5
    missing = {"key": ["a"], "versionstamp": None}
    assert not (await caller.commit(tally("n", 1), checks=[missing]))["ok"]
    refused = await caller.commit(put, tally("n", 2), {"type": "tally", "name": "n"}, status=400)
    assert refused["error"] == "mutations[2].by must be an integer"
    unknown = await caller.commit({"type": "count"}, status=400)
    assert unknown["error"].endswith("patch, touch, persist, enqueue, task, consumer, tally)")
    assert await caller.total("n") == 5


async def test_its_checks_guard_commits(caller: Caller) -> None:
    put = {"type": "set", "key": ["a"], "value": 1}
    done = [
        (await caller.commit(put, tally("n", 1), checks=[{"tally": "n", "most": 2}]))["ok"]
        for _ in range(5)
    ]
    assert done == [True, True, True, False, False]
    assert await caller.total("n") == 3


async def test_at_once_no_more_commits_succeed_than_the_check_lets(caller: Caller) -> None:
    check = {"tally": "n", "most": 4}
    commits = [caller.commit(tally("n", 1), checks=[check]) for _ in range(20)]
    assert sum(answer["ok"] for answer in await asyncio.gather(*commits)) == 5
    assert await caller.total("n") == 5


async def test_its_loop_and_its_numbers(caller: Caller) -> None:
    await caller.commit(tally("one", 2), tally("two", 5))

    async def summed() -> bool:
        metrics = await caller.json("GET", "/metrics")
        return bool(metrics["tally"] == {"names": 2, "sum": 7})

    await until(summed)
    text = (await caller.client.get("/metrics/prometheus")).text
    assert "keyval_tally_sum 7\n" in text
    assert "keyval_tally_names 2\n" in text


async def test_its_tables_have_migrations_of_their_own(tmp_path: Path, caller: Caller) -> None:
    await caller.json("POST", "/tally/kept/add")
    async with host_of(tmp_path) as host:  # again: nothing is applied twice
        transport = httpx2.ASGITransport(app=host)
        async with httpx2.AsyncClient(transport=transport, base_url=caller.client.base_url) as it:
            assert await Caller(it).total("kept") == 1


async def test_a_loop_that_ends_is_a_problem_of_the_store(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate_features(world.adapter, world.clock(), [TALLY])
    store = Store(world.adapter, logger=logging.getLogger("tally"), clock=world.clock)
    service = KeyValService(parse_options({}), store, features=(*FEATURES, TALLY))
    part = service.part(TALLY)
    assert isinstance(part, TallyPart)
    await world.adapter.execute("DROP TABLE kv_tally")
    part._step = lambda: 1 / 0  # type: ignore[assignment,method-assign,return-value] # breaks it
    part._loop._step = part._step
    service.start()
    assert service.problem() is None
    await until(lambda: service.problem() is not None)
    assert service.problem() == "tallying ended unexpectedly, see the log"
    await service.close()


def test_no_feature_takes_the_route_of_another_one() -> None:
    for path in ("/queue/stats", "/keys/list", "/keys/a", "/tally/{name}"):
        feature = Feature("other", lambda _: Part(), routes={path: {}})
        with pytest.raises(ValueError, match="other cannot serve"):
            StoreRoutes((*FEATURES, TALLY, feature))


def test_the_features_of_the_plugin_have_names_of_their_own() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(set(names)) == len(names)
    measures = [m.name for f in FEATURES for m in (*f.measures, *f.stored_measures)]
    assert len(set(measures)) == len(measures)
