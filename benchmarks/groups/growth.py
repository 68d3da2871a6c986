"""`growth`: the same requests to databases of a thousand to ten million entries."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import bulk
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.engine.cursors import make_cursor
from cases import PAGE, Case, expect, get_requests, put_requests
from client import Client, Request
from contenders import Buntime, Contender
from dataset import value_of
from group import Group, Job, Plan, Selection, Settings, job
from load import Expected
from results import Cell, Comparison, Measurement, Row, Section

SIZES = (1_000, 100_000, 10_000_000)
SMALLEST = SIZES[0]
REQUESTS = 20_000
"""Different requests of a case, where the database has as many entries: with the pages that they
need, more than the page cache holds, so that it is not the cache alone which is measured."""
PAGES = {
    "first": "first page of 100",
    "middle": "page in the middle",
    "last": "last page",
    "anywhere": "pages from anywhere",
}
TITLES = {
    "get": "get one entry",
    "put": "put one entry",
    **{f"page-{place}": title for place, title in PAGES.items()},
}
KEYED_AIMS = {"get": 0.7, "put": 0.8}
PUT_P99 = "put-p99"
PUT_P99_AIM = 15
"""Milliseconds: pages that were written all over the file are copied into it while writes go on."""
PAGE_AIMS = {"page-middle": 0.9, "page-last": 0.9}
"""As fast as the first, and what two measurements of one thing may differ by. `page-anywhere` has
no such aim: its pages are mostly not in the cache, and the first one always is."""


class Grown(Buntime):
    """The product on a database of a size, which is made before it starts."""

    def __init__(self, entries: int) -> None:
        super().__init__(_cases(entries), name=f"{entries:,}")
        self._entries = entries

    def command(self, folder: Path) -> list[str]:
        """See `HttpContender`."""
        bulk.make_database(folder / "data" / "_default.db", bulk.grown(self._entries))
        return super().command(folder)

    def load(self, client: Client) -> None:
        """It is there: see `command`."""
        answer = client.call(Request("GET", f"/keys/count?prefix={bulk.PREFIX[0]}"))
        expect(answer, {"count": self._entries}, "entries")


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    cases = [case for case in TITLES if case in chosen["growth"]]
    sizes = [size for size in SIZES if size <= settings.growth_max]
    needed = sum(sizes) * bulk.BYTES_AN_ENTRY
    while needed > (free := shutil.disk_usage(folder).free):
        skipped = sizes.pop()
        settings.say(
            f"growth: {skipped:,} entries are skipped: they need {needed / 1e9:.1f} GB in {folder},"
            f" which has {free / 1e9:.1f} GB; TMPDIR names another folder"
        )
        needed = sum(sizes) * bulk.BYTES_AN_ENTRY
    with ExitStack() as stack:
        grown = [Grown(size) for size in sizes]
        for contender in grown:
            settings.say(f"growth: makes {contender.name} entries, starts, is checked")
            home = folder / contender.name
            home.mkdir()
            stack.enter_context(contender.running(home, cases))
        jobs = [
            Job(partial(_measured, contender, case, settings))
            for case in cases
            for contender in grown
        ]
        memory = [job(("memory", c.name), partial(_resident, c)) for c in grown]
        yield Plan([*jobs, *memory], [SECTION])


def _measured(contender: Contender, case: str, settings: Settings) -> Mapping[Cell, Measurement]:
    found = contender.measure(case, seconds=settings.seconds, connections=settings.connections)
    cells = {(case, contender.name): found}
    if case == "put" and found.p99 is not None:
        cells[PUT_P99, contender.name] = Measurement(found.p99)
    return cells


def _resident(contender: Grown) -> Measurement:
    return Measurement(contender.resident_mib())


# The cases of a size


def _cases(entries: int) -> Sequence[Case]:
    different = min(REQUESTS, entries)
    prefix = bulk.PREFIX

    def page(start: int) -> Request:
        """The page that starts with a number."""
        path = f"/keys/paginate?prefix={prefix[0]}&limit={PAGE}"
        if start:
            cursor = make_cursor(encode_key((*prefix, start - 1)))
            path += f"&cursor={quote(cursor, safe='')}"
        return Request("GET", path)

    starts = {
        "first": [0],
        "middle": [entries // 2],
        "last": [entries - PAGE],
        "anywhere": Random("pages").sample(range(entries - PAGE), min(REQUESTS, entries - PAGE)),
    }
    asked = {page(start): start for place in starts.values() for start in place}

    def check_page(_: Client, request: Request, answer: Any) -> None:
        first = asked[request]
        numbers = [entry["key"][-1] for entry in answer["entries"]]
        expect(numbers, list(range(first, first + PAGE)), "last parts of the keys of a page")
        expect(answer["hasMore"], first + PAGE < entries, "hasMore")

    def check_get(_: Client, request: Request, answer: Any) -> None:
        number = int(request.path.rpartition("/")[2])
        expect((answer["key"], answer["value"]), ([*prefix, number], value_of(number)), "entry")

    def check_put(client: Client, request: Request, answer: Any) -> None:
        entry = client.call(Request("GET", request.path))
        expect(entry["versionstamp"], answer["versionstamp"], "versionstamp of what was put")

    gets = get_requests(Random("get"), different, prefix=prefix, among=entries)
    puts = put_requests(Random("put"), different, prefix=prefix, among=entries)
    return [
        Case("get", TITLES["get"], lambda _: gets, check_get, Expected('"value":{"name":"user ')),
        Case("put", TITLES["put"], lambda _: puts, check_put, Expected('"ok":true')),
        *(
            Case(
                f"page-{place}",
                PAGES[place],
                partial(_pages, [page(start) for start in starts[place]]),
                check_page,
                Expected('"value":{"name":"user ', PAGE * 90),
            )
            for place in PAGES
        ),
    ]


def _pages(requests: Sequence[Request], _: Client) -> Sequence[Request]:
    return requests


def _row(case: str, size: int) -> Row:
    cell: Cell = (case, f"{size:,}")
    comparisons = []
    if size > SMALLEST:
        least = KEYED_AIMS.get(case) if size == SIZES[-1] else None
        comparisons.append(Comparison(f"÷ {SMALLEST:,}", (case, f"{SMALLEST:,}"), least))
    if case.startswith("page-") and case != "page-first":
        least = PAGE_AIMS.get(case) if size == SIZES[-1] else None
        comparisons.append(Comparison("÷ first page", ("page-first", f"{size:,}"), least))
    return Row(cell, TITLES[case], comparisons=comparisons)


SECTION = Section(
    "growth",
    "Growth",
    [
        *(_row(case, size) for case in TITLES for size in SIZES),
        *(
            Row((PUT_P99, f"{size:,}"), "put one entry, p99", "ms", most=PUT_P99_AIM)
            for size in SIZES
        ),
        *(Row(("memory", f"{size:,}"), "resident after all that", "MiB") for size in SIZES),
    ],
)
GROUP = Group({"growth": tuple(TITLES)}, opened)
