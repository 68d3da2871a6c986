"""How fast a store is for several writers and readers at a time."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from buntime_keyval.cli.direct.running import print_json, with_store
from buntime_keyval.cli.options import CommandFailure

if TYPE_CHECKING:
    from buntime_keyval import Kv, Records

_PERSON = {
    "name": "Ada Lovelace",
    "phone": "+44 20 7946 0000",
    "address": {"street": "12 St James's Square", "city": "London", "postcode": "SW1Y 4JH"},
}
_FEWEST_LETTERS, _MOST_LETTERS = 40, 200

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
POSITIVE = click.IntRange(1)


class Figures(NamedTuple):
    """What was measured."""

    operations: int
    seconds: float
    """Until all of them were done."""
    each: list[float]
    """Seconds of each operation, in rising order."""

    def at(self, share: float) -> float:
        """The milliseconds that this share of the operations took at the most."""
        return self.each[min(int(share * len(self.each)), len(self.each) - 1)] * 1000


@click.group("benchmark")
def benchmark() -> None:
    """Measure a store. It writes to keys of its own and deletes them at the end."""


@benchmark.command("get")
@click.argument("x", type=POSITIVE, default=100)
@click.argument("n", type=POSITIVE, default=10_000)
@click.argument("w", type=POSITIVE, default=100)
@AS_JSON
@with_store
def get(kv: Kv, x: int, n: int, w: int, as_json: bool) -> None:
    """Read X records N times, with W workers.

    Example: kv benchmark get
    """
    with _records(kv) as (records, prefix):
        keys = [f"{prefix}{number}" for number in range(x)]
        for key in keys:
            records.put(key, _PERSON)

        def run(_: int) -> None:
            records.get(random.choice(keys))  # noqa: S311 - no secret

        _print("get", _measured(run, n, w), as_json=as_json)


@benchmark.command("put")
@click.argument("n", type=POSITIVE, default=30_000)
@click.argument("w", type=POSITIVE, default=100)
@AS_JSON
@with_store
def put(kv: Kv, n: int, w: int, as_json: bool) -> None:
    """Write N different records, with W workers.

    Example: kv benchmark put 10000 50
    """
    with _records(kv) as (records, prefix):

        def run(number: int) -> None:
            records.put(f"{prefix}{number}", _PERSON)

        _print("put", _measured(run, n, w), as_json=as_json)


@benchmark.command("patch")
@click.argument("n", type=POSITIVE, default=250)
@click.argument("w", type=POSITIVE, default=4)
@AS_JSON
@with_store
def patch(kv: Kv, n: int, w: int, as_json: bool) -> None:
    """Patch one record N times with each of W workers; fails if a patch is lost.

    Example: kv benchmark patch 250 4
    """
    with _records(kv) as (records, prefix):
        key = f"{prefix}shared"

        def run(number: int) -> None:
            records.patch(key, {f"worker{number % w}": number // w + 1})

        def run_all(worker: int) -> list[float]:
            return [_timed(run, turn * w + worker) for turn in range(n)]

        begin = time.perf_counter()
        with ThreadPoolExecutor(w) as threads:
            each = sorted(one for some in threads.map(run_all, range(w)) for one in some)
        figures = Figures(n * w, time.perf_counter() - begin, each)
        record = records.get(key)
        if record is None or record.value != {f"worker{worker}": n for worker in range(w)}:
            raise CommandFailure("patches were lost: the record does not have all of them")
        _print("patch", figures, as_json=as_json)


@benchmark.command("mixed")
@click.argument("n", type=POSITIVE, default=10_000)
@click.argument("w", type=POSITIVE, default=15)
@AS_JSON
@with_store
def mixed(kv: Kv, n: int, w: int, as_json: bool) -> None:
    """Write and read back a record with a long key N times, with W workers.

    Example: kv benchmark mixed 10000 15
    """
    with _records(kv) as (records, prefix):

        def run(number: int) -> None:
            letters = random.randint(_FEWEST_LETTERS, _MOST_LETTERS)  # noqa: S311 - no secret
            key = f"{prefix}{number}/{'x' * letters}"
            records.put(key, _PERSON)
            if records.get(key) is None:
                raise CommandFailure(f"{key} was written, and is not there")

        _print("mixed", _measured(run, n, w), as_json=as_json)


@contextmanager
def _records(kv: Kv) -> Iterator[tuple[Records, str]]:
    """The records of a store, and a prefix that no other run has."""
    records, prefix = kv.records(), f"kv-benchmark/{uuid.uuid4()}/"
    try:
        yield records, prefix
    finally:
        records.delete_prefix(prefix)


def _measured(run: Callable[[int], None], operations: int, workers: int) -> Figures:
    begin = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        each = sorted(threads.map(lambda number: _timed(run, number), range(operations)))
    return Figures(operations, time.perf_counter() - begin, each)


def _timed(run: Callable[[int], None], number: int) -> float:
    begin = time.perf_counter()
    run(number)
    return time.perf_counter() - begin


def _print(name: str, figures: Figures, *, as_json: bool) -> None:
    rate = figures.operations / figures.seconds
    if as_json:
        print_json(
            {
                "benchmark": name,
                "operations": figures.operations,
                "seconds": figures.seconds,
                "perSecond": rate,
                "milliseconds": {
                    "p50": figures.at(0.5),
                    "p95": figures.at(0.95),
                    "p99": figures.at(0.99),
                    "max": figures.at(1),
                },
            }
        )
        return
    click.echo(f"{figures.operations} operations in {figures.seconds:.2f} s: {rate:.0f} a second")
    shares = ", ".join(
        f"{title} {figures.at(share):.2f} ms"
        for title, share in (("half within", 0.5), ("95 %", 0.95), ("99 %", 0.99), ("all", 1))
    )
    click.echo(shares)
