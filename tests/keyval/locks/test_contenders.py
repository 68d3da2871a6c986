"""Two hosts on one database, 32 contenders: one at a time, in order, and a third program checks."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from buntime_keyval import Kv
from keyval.engines import Engine
from keyval.pairs import Pair, pair_of_hosts
from support.children import program
from support.waiting import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.engines("sqlite", "postgres", "rqlite", "libsql")]

CONTENDERS = 32
ROUNDS = 2
KILLS = int(os.environ.get("LOCK_KILLS", "2"))
PROGRAM = str(Path(__file__).parent / "contender.py")


@pytest.fixture(scope="module")
def pair(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of_hosts(engine, tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def test_one_of_32_at_a_time(pair: Pair) -> None:
    contenders = [
        subprocess.Popen(
            [sys.executable, PROGRAM, api.base, name, str(CONTENDERS // 2), str(ROUNDS)]
        )
        for api, name in ((pair.one, "a"), (pair.two, "b"))
    ]
    try:
        assert [it.wait(120) for it in contenders] == [0, 0]
    finally:
        for it in contenders:
            it.kill()
            it.wait()
    number = CONTENDERS * ROUNDS
    assert pair.one.json("GET", "/keys/counted")["value"] == number
    entries = pair.two.json("GET", f"/keys?prefix=rounds&limit={number}")
    written = [tuple(entry["value"]) for entry in entries]
    assert len({owner for owner, _ in written}) == CONTENDERS
    tokens = [token for _, token in written]
    assert tokens == sorted(set(tokens))
    assert len(tokens) == number


def test_a_holder_that_was_killed_is_followed_when_its_time_is_over(pair: Pair) -> None:
    """And what it writes then is refused, for it is not alone any more."""
    hold = (
        "import sys; from buntime_keyval import Kv\n"
        "lock = Kv(sys.argv[1]).lock('job', ttl='1500ms')\n"
        "lock.acquire(); print(lock.token, flush=True); sys.stdin.read()"
    )
    with program(
        [sys.executable, "-c", hold, pair.one.base], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        token = holder.stdout.readline().decode().strip()
        assert pair.two.json("GET", "/locks/job")["token"] == token
        holder.kill()
    follower = pair.two.json(
        "POST", "/locks/job/acquire", {"owner": "follower", "wait": "1m", "duration": "1h"}
    )
    assert follower["token"] > token
    for held, is_right in ((token, False), (follower["token"], True)):
        body = {
            "checks": [{"lock": "job", "token": held}],
            "mutations": [{"type": "set", "key": ["job"], "value": held}],
        }
        assert pair.one.json("POST", "/atomic", body)["ok"] is is_right


def test_holders_that_are_killed_are_followed_one_by_one(pair: Pair) -> None:
    """Each round is written once, under a greater token than the one before, whoever is killed."""
    chance = random.Random(11)
    bases = (pair.one.base, pair.two.base)

    def start(life: int) -> subprocess.Popen[bytes]:
        what = [bases[life % 2], f"life-{life}-", "4", str(10**9), "1s"]
        return subprocess.Popen([sys.executable, PROGRAM, *what])

    with Kv(pair.one.base) as kv:

        def newest() -> tuple[int, int]:
            """How many rounds there are, and in which life the last of them was written."""
            number = kv.get(["counted"]).value or 0
            owner = kv.get(["rounds", number - 1]).value[0] if number else ""
            return number, int(owner.split("-")[1]) if owner.startswith("life-") else -1

        running = {life: start(life) for life in range(2)}
        try:
            for life in range(2, 2 + KILLS):
                deadline = time.monotonic() + PATIENCE
                while (holder := newest()[1]) not in running:
                    assert time.monotonic() < deadline, "nobody who lives gets the lock"
                time.sleep(chance.uniform(0, 0.02))
                killed = running.pop(holder)
                killed.kill()
                killed.wait()
                running[life] = start(life)
        finally:
            for contender in running.values():
                contender.kill()
                contender.wait()
        number = kv.get(["counted"]).value
        rounds = list(kv.list(["rounds"]))
        assert [entry.key[1] for entry in rounds] == list(range(number))
        tokens = [entry.value[1] for entry in rounds]
        assert tokens == sorted(set(tokens))
