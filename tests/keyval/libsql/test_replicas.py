"""Workers and hosts that read from replicas: nobody reads less than was written or read before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from keyval.libsql.support import LAG_SECONDS, config_of, empty
from support.api import Api, api_of
from support.live import LiveServer, live_server
from support.sampling import share_of
from support.sqld import Sqld, running_sqld
from support.workers import api_of_any, api_of_worker

POSITION = "x-buntime-position"
ROUNDS = share_of(50)


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sqld]]:
    """A primary and two replicas, the second of which is always behind."""
    lags = (0.0, LAG_SECONDS)
    with running_sqld(tmp_path_factory.mktemp("trio"), replicas=2, lags=lags) as servers:
        yield servers


@pytest.fixture(scope="module")
def host(trio: list[Sqld], tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A host with two workers."""
    empty(trio[0])
    with live_server(tmp_path_factory.mktemp("host"), config_of(trio), workers=2) as running:
        yield running


def reads_of_replicas(host: LiveServer) -> int:
    """How many there were."""
    text = httpx2.get(f"{host.url}/metrics", trust_env=False).text
    lines = [line for line in text.splitlines() if "replica_reads" in line and line[0] != "#"]
    return int(sum(float(line.split()[-1]) for line in lines))


def put(api: Api, key: str, value: Any) -> httpx2.Response:
    answer = api.send("PUT", f"/keys/{key}", value)
    assert answer.status_code == 200
    return answer


def test_a_worker_reads_what_another_wrote(host: LiveServer) -> None:
    with api_of_worker(host, 0) as one, api_of_worker(host, 1) as two:
        for number in range(ROUNDS):
            writer, reader = (one, two) if number % 2 else (two, one)
            put(writer, "shared", number)
            assert reader.value("shared") == number
            (entry,) = reader.json("POST", "/keys/batch", {"keys": [["shared"]]})
            assert entry["value"] == number
            put(writer, f"counted/{number}", number)
            assert reader.json("GET", "/keys/count", query={"prefix": "counted"}) == {
                "count": number + 1
            }
    assert reads_of_replicas(host) > ROUNDS


def test_reads_of_one_url_never_go_back(host: LiveServer) -> None:
    with api_of_any(host) as writer, api_of_any(host) as reader:
        seen = -1
        for number in range(ROUNDS):
            put(writer, "rising", number)
            for _ in range(3):
                value = reader.value("rising")
                assert value == number
                assert value >= seen
                seen = value


def test_polls_of_one_url_never_go_back(host: LiveServer) -> None:
    with api_of_any(host) as writer, api_of_any(host) as poller:
        stamp = ""
        for number in range(ROUNDS):
            put(writer, "polled", number)
            query = {"keys": "polled", "versionstamps": stamp}
            told = poller.json("GET", "/watch/poll", query=query)
            (entry,), (stamp,) = told["entries"], told["versionstamps"]
            assert (entry["value"], entry["versionstamp"]) == (number, stamp)
            assert poller.value("polled") == number
            again = poller.json("GET", "/watch/poll", query={**query, "versionstamps": stamp})
            assert again == {"entries": [], "versionstamps": [stamp]}


def test_a_position_carries_what_was_written_to_another_host(hosts: list[Api]) -> None:
    one, two = hosts
    for number in range(ROUNDS):
        position = put(one, "carried", number).headers[POSITION]
        assert position.isdigit()
        headers = {POSITION: position}
        answer = two.send("GET", "/keys/carried", headers=headers)
        assert answer.json()["value"] == number
        assert int(answer.headers[POSITION]) >= int(position)
        gone = two.send("GET", "/keys/missing", headers=headers)
        assert gone.status_code == 404
        assert int(gone.headers[POSITION]) >= int(position)


def test_a_strong_read_sees_what_was_written_to_another_host(hosts: list[Api]) -> None:
    one, two = hosts
    strong = {"consistency": "strong"}
    for number in range(ROUNDS // 3):
        put(one, "strong/a", number)
        answers = [
            two.json("GET", "/keys/strong/a", query=strong),
            two.json("GET", "/keys", query={"prefix": "strong", **strong})[0],
            two.json("POST", "/keys/list", {"prefix": ["strong"], **strong})[0],
            two.json("POST", "/keys/batch", {"keys": [["strong", "a"]], **strong})[0],
            two.json("GET", "/keys/paginate", query={"prefix": "strong", **strong})["entries"][0],
            two.json("POST", "/transaction", {"reads": [["strong", "a"]]})["entries"][0],
        ]
        assert [answer["value"] for answer in answers] == [number] * len(answers)
        assert two.json("GET", "/keys/count", query={"prefix": "strong", **strong}) == {"count": 1}


@pytest.mark.parametrize("position", ["", "x", "-1", "1.5", "1 2", "9" * 16, "0x1", "¹"])
def test_what_is_no_position_is_refused(hosts: list[Api], position: str) -> None:
    answer = hosts[0].send("GET", "/keys/a", headers={POSITION: position.encode()})  # type: ignore[dict-item] # beyond ASCII
    assert answer.status_code == 400
    assert "X-Buntime-Position must be" in answer.json()["error"]


def test_a_position_of_another_log_stops_nobody(hosts: list[Api]) -> None:
    """As those that clients have of a primary that was restored since."""
    one, two = hosts
    put(one, "a", 1)
    for api in hosts:
        for _ in range(20):
            answer = api.send("GET", "/keys/a", headers={POSITION: "9" * 15})
            assert answer.json()["value"] == 1
            assert int(answer.headers[POSITION]) < 10**9
    put(two, "a", 2)
    assert two.value("a") == 2


def test_no_answer_tells_less_than_was_asked_for_unless_it_looked(hosts: list[Api]) -> None:
    """A client that remembers what it was told last forgets nothing that it wrote."""
    one, two = hosts
    for number in range(ROUNDS // 5):
        position = int(put(one, "a", number).headers[POSITION])
        headers = {POSITION: str(position)}
        for method, path in (("GET", "/keys/a?limit=1"), ("POST", "/keys/batch")):
            refused = two.send(method, path, None, headers=headers)
            assert refused.status_code == 400
            assert int(refused.headers.get(POSITION, position)) >= position
        assert two.send("GET", "/keys/a", headers=headers).json()["value"] == number


def test_consistency_is_one_of_two(hosts: list[Api]) -> None:
    put(hosts[0], "a", 1)
    assert hosts[0].json("GET", "/keys/a", query={"consistency": "eventual"})["value"] == 1
    for value in ("weak", ""):
        answer = hosts[0].send("GET", "/keys/a", query={"consistency": value})
        assert answer.status_code == 400


def test_a_file_has_no_positions_and_heeds_none(tmp_path: Path) -> None:
    with live_server(tmp_path) as server, api_of(server.api) as api:
        answer = put(api, "a", 1)
        assert POSITION not in answer.headers
        for position in ("5", "garbage"):
            assert api.send("GET", "/keys/a", headers={POSITION: position}).status_code == 200
        assert api.json("GET", "/keys/a", query={"consistency": "strong"})["value"] == 1
