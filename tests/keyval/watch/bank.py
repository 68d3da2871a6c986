"""Accounts between which money moves: whoever watches them sees the same total in every event."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

from support.api import Api
from support.sse import EventStream

ACCOUNTS = 8
TOTAL = ACCOUNTS * 100

OpenStream = Callable[[dict[str, str]], AbstractContextManager[EventStream]]


def open_accounts(api: Api) -> None:
    api.mutate(*({"type": "set", "key": ["bank", n], "value": 100} for n in range(ACCOUNTS)))


def transfer(api: Api, dice: random.Random) -> None:
    """Move money, once to an account that comes and goes as well."""
    one, two = dice.sample(range(ACCOUNTS), 2)
    amount = dice.randrange(1, 20)
    api.mutate(
        {"type": "sum", "key": ["bank", one], "value": -amount},
        {"type": "sum", "key": ["bank", two], "value": amount},
    )


def watch_bank(open_stream: OpenStream, done: threading.Event, seed: int) -> int:
    """Watch, losing the connection now and then, until it is done; the number of events."""
    dice = random.Random(seed)
    balances: dict[Any, int] = {}
    stamps: dict[Any, str] = {}
    headers: dict[str, str] = {}
    events = 0
    while not done.is_set():
        with open_stream(headers) as stream:
            assert stream.status == 200
            for _ in range(dice.randrange(1, 30)):
                try:
                    event = stream.next(0.3, pings=True)
                except TimeoutError:
                    break
                assert event is not None
                assert event.event != "reset"
                assert event.id is not None
                headers = {"Last-Event-ID": event.id}
                for entry in event.data or ():
                    account = entry["key"][1]
                    balances[account] = entry["value"]
                    assert entry["versionstamp"] >= stamps.get(account, ""), "taken back"
                    stamps[account] = entry["versionstamp"]
                assert sum(balances.values()) == TOTAL, (events, balances)
                events += 1
    return events


def run_bank(apis: Sequence[Api], streams: Sequence[OpenStream], transfers: int = 150) -> None:
    """One writer for each API, two watchers for each stream."""
    open_accounts(apis[0])
    done = threading.Event()

    def write(number: int) -> None:
        dice = random.Random(number)
        for _ in range(transfers):
            transfer(apis[number], dice)

    with ThreadPoolExecutor() as threads:
        watching = [
            threads.submit(watch_bank, stream, done, seed)
            for seed, stream in enumerate([*streams, *streams])
        ]
        try:
            list(threads.map(write, range(len(apis))))
        finally:
            done.set()
        assert all(task.result() > 5 for task in watching)
