"""Search real text: `python benchmarks/search_corpus.py`.

The paragraphs of the standard library's sources become entries with a full-text index. The same
queries then go to the server over HTTP and to SQLite itself, through apsw, on the same FTS5 table;
both give the ten best hits. Needs wrk, as `run.py` does.
"""

from __future__ import annotations

import json
import re
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple
from urllib.parse import quote

import apsw
import click
from client import BenchmarkError, Client, Request
from contenders import Buntime
from load import find_wrk, run_wrk

DOCUMENTS = 30_000
LEAST_DOCUMENTS = 20_000
QUERIES = 500
HITS = 10
CHECKED = 20
CHUNK = 500
PREFIX = ["corpus"]
AIM = 0.5
"""Least share of the raw rate."""
MIXED = "mixed"
KINDS = {
    "ten": "a word of 10 paragraphs",
    "rare": "a word of 10 to 50 paragraphs",
    "common": "a word of 1,000 to 5,000 paragraphs",
    "two": "two words of one paragraph",
    MIXED: "all of these",
}

_WORD = re.compile(r"[a-z]{4,}")
_PARAGRAPH = re.compile(r"\n\s*\n")
SHORTEST = 40


class Document(NamedTuple):
    """One paragraph."""

    source: str
    text: str


class Server(Buntime):
    """The product with the corpus in it; loads before the index exists, so that it is filled."""

    def __init__(self, documents: Sequence[Document]) -> None:
        super().__init__(())
        self._documents = documents
        self.fill_seconds = 0.0

    def load(self, client: Client) -> None:
        """See `HttpContender`."""
        entries = enumerate(self._documents)
        while chunk := list(islice(entries, CHUNK)):
            mutations = [
                {"type": "set", "key": [*PREFIX, number], "value": document._asdict()}
                for number, document in chunk
            ]
            client.call(Request("POST", "/atomic", json.dumps({"mutations": mutations})))
        started = time.perf_counter()
        body = {"prefix": PREFIX, "fields": ["text"]}
        client.call(Request("POST", "/indexes", json.dumps(body)))
        self.fill_seconds = time.perf_counter() - started
        (index,) = client.call(Request("GET", "/indexes"))
        if index["documents"] != len(self._documents):
            raise BenchmarkError(f"{index['documents']} of {len(self._documents)} are indexed")

    def rate(self, queries: Sequence[str], seconds: int, connections: int) -> float:
        """Searches per second over HTTP."""
        assert self._client is not None
        requests = [_request(query) for query in queries]
        return run_wrk(
            self._client, requests, self._folder, seconds=seconds, connections=connections
        ).rate

    def found(self, queries: Sequence[str]) -> list[list[int]]:
        """For each query the numbers of the documents that are found, in order."""
        assert self._client is not None
        client = Client(self._client.origin + self.base)  # the other one was idle for too long
        try:
            return [
                [entry["key"][1] for entry in client.call(_request(query))] for query in queries
            ]
        finally:
            client.close()


class Raw:
    """SQLite itself, on the server's own database file."""

    SQL = """
SELECT kv_fts_1.rowid, f0, doc_key FROM kv_fts_1 JOIN kv_docs ON doc = kv_fts_1.rowid
WHERE kv_fts_1 MATCH ? ORDER BY rank LIMIT ?"""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._connection.pragma("mmap_size", 1 << 28)

    def texts(self, query: str) -> list[str]:
        """The texts that are found, in order."""
        return [row[1] for row in self._connection.execute(self.SQL, (query, HITS))]

    def rate(self, queries: Sequence[str], seconds: int) -> float:
        """Searches per second, one after the other."""
        done = 0
        started = time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds:
            for query in queries[:50]:
                self.texts(query)
            queries = [*queries[50:], *queries[:50]]
            done += 50
        return done / spent


def read_corpus() -> list[Document]:
    """Paragraphs of the standard library's sources, each text once."""
    root = Path(sysconfig.get_path("stdlib"))
    found: dict[str, Document] = {}
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if {"site-packages", "lib2to3"} & set(relative.parts):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for paragraph in _PARAGRAPH.split(text):
            stripped = paragraph.strip()
            if len(stripped) >= SHORTEST:
                found.setdefault(stripped, Document(str(relative), stripped))
    documents = Random("corpus").sample(list(found.values()), min(DOCUMENTS, len(found)))
    if len(documents) < LEAST_DOCUMENTS:
        raise BenchmarkError(f"only {len(documents)} paragraphs below {root}")
    return documents


def make_queries(documents: Sequence[Document]) -> dict[str, list[str]]:
    """The queries of each kind, the same ones for the same corpus."""
    words = [sorted(set(_WORD.findall(document.text.lower()))) for document in documents]
    frequency = Counter(word for own in words for word in own)
    random = Random("queries")

    def between(least: int, most: int) -> list[str]:
        known = sorted(word for word, count in frequency.items() if least <= count <= most)
        return random.choices(known, k=QUERIES)

    pairs = [" ".join(random.sample(own, 2)) for own in words if len(own) > 2]
    queries = {
        "ten": between(10, 10),
        "rare": between(10, 50),
        "common": between(1_000, 5_000),
        "two": random.sample(pairs, QUERIES),
    }
    mixed = [query for group in zip(*queries.values(), strict=True) for query in group]
    return {**queries, MIXED: mixed[:QUERIES]}


def _request(query: str) -> Request:
    return Request("GET", f"/search?prefix=corpus&limit={HITS}&query={quote(query)}")


def _check(server: Server, raw: Raw, documents: Sequence[Document], queries: Sequence[str]) -> None:
    """Both have to find as many; which of several equally good ones come first may differ."""
    checked = queries[:CHECKED]
    for query, numbers in zip(checked, server.found(checked), strict=True):
        ours = [documents[number].text for number in numbers]
        theirs = raw.texts(query)
        if len(ours) != len(theirs):
            raise BenchmarkError(f"{query!r} finds {ours!r:.200}, SQLite finds {theirs!r:.200}")


def measure(seconds: int, rounds: int, connections: int, kinds: Sequence[str]) -> Iterator[str]:
    """Lines of the report. Raises `BenchmarkError`."""
    documents = read_corpus()
    queries = make_queries(documents)
    server = Server(documents)
    with tempfile.TemporaryDirectory(prefix="buntime-search-") as name:
        folder = Path(name)
        with server.running(folder, []):
            size = sum(len(document.text) for document in documents)
            yield (
                f"{len(documents):,} paragraphs, {size / 1e6:.1f} MB; index filled in "
                f"{server.fill_seconds:.2f} s, {len(documents) / server.fill_seconds:,.0f}/s"
            )
            (path,) = (file for file in (folder / "data").rglob("*") if file.suffix == ".db")
            raw = Raw(path)
            yield "| queries | HTTP/s | raw FTS5/s | ratio | aim | met |"
            yield "| --- | ---: | ---: | ---: | ---: | ---: |"
            for kind in kinds:
                _check(server, raw, documents, queries[kind])
                found = [
                    (
                        server.rate(queries[kind], seconds, connections),
                        raw.rate(queries[kind], seconds),
                    )
                    for _ in range(rounds)
                ]
                ratio = median(ours / theirs for ours, theirs in found)
                ours, theirs = (median(rates) for rates in zip(*found, strict=True))
                yield (
                    f"| {kind}: {KINDS[kind]} | {ours:,.0f} | {theirs:,.0f} | {ratio:.2f} "
                    f"| ≥ {AIM} | {'yes' if ratio >= AIM else 'no'} |"
                )


@click.command()
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1, 60))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 1000))
@click.option("--kinds", default=",".join(KINDS), show_default=True, metavar="NAMES")
def main(seconds: int, rounds: int, connections: int, kinds: str) -> None:
    """Measure searching the standard library's sources, over HTTP and without."""
    names = kinds.split(",")
    if unknown := set(names) - set(KINDS):
        raise click.BadParameter(f"unknown: {', '.join(sorted(unknown))}")
    try:
        find_wrk()
        for line in measure(seconds, rounds, connections, names):
            click.echo(line)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
