"""Two hosts on one database, 32 contenders: one at a time, in order, and a third program checks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from keyval.engines import Engine
from keyval.pairs import Pair, pair_of_hosts
from support.children import program

pytestmark = [pytest.mark.slow, pytest.mark.engines("sqlite", "postgres", "rqlite")]

CONTENDERS = 32
ROUNDS = 2


@pytest.fixture(scope="module")
def pair(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_of_hosts(engine, tmp_path_factory.mktemp("pair")) as pair:
        yield pair


def test_one_of_32_at_a_time(pair: Pair) -> None:
    program = str(Path(__file__).parent / "contender.py")
    contenders = [
        subprocess.Popen(
            [sys.executable, program, api.base, name, str(CONTENDERS // 2), str(ROUNDS)]
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
