"""A client that is used before and after a fork: real processes, a real server."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.live import LiveServer

pytestmark = pytest.mark.slow

SECONDS = 60

# The child goes on with the client of its parent, while that one uses it too.
SCRIPT = """
import os, sys, threading
from buntime_keyval import Kv

kv = Kv(sys.argv[1])
for number in range(20):
    kv.set(["n", number], number)
busy = [threading.Thread(target=lambda: [kv.get(["n", 0]) for _ in range(50)]) for _ in range(4)]
for thread in busy:
    thread.start()

def use(first):
    for round in range(100):
        number = (first + round) % 20
        entry = kv.get(["n", number])
        assert (entry.key, entry.value) == (("n", number), number), entry
        assert [it.value for it in kv.get([["n", number], ["n", 1]])] == [number, 1]

pid = os.fork()
if pid == 0:
    try:
        use(10)
        kv.close()
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
use(0)
_, status = os.waitpid(pid, 0)
for thread in busy:
    thread.join()
use(5)
kv.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""

ASYNC_SCRIPT = """
import asyncio, os, sys
from buntime_keyval import AsyncKv

kv = AsyncKv(sys.argv[1])

async def use(first):
    async def one(number):
        assert (await kv.get(["n", number])).value == number
    for round in range(10):
        await asyncio.gather(*[one((first + round + more) % 20) for more in range(10)])

async def fill():
    for number in range(20):
        await kv.set(["n", number], number)
    await use(0)

asyncio.run(fill())
pid = os.fork()
if pid == 0:
    try:
        asyncio.run(use(10))
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
asyncio.run(use(0))
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("script", [SCRIPT, ASYNC_SCRIPT], ids=["sync", "async"])
def test_parent_and_child_get_their_own_answers(server: LiveServer, script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, server.api],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
