"""Real text to search, the server that holds it, and SQLite itself on the same FTS5 table."""

from __future__ import annotations

import json
import re
import sysconfig
import time
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple
from urllib.parse import quote

import apsw
from client import BenchmarkError, Client, Request
from contenders import Buntime
from load import Expected
from results import Measurement

DOCUMENTS = 30_000
LEAST_DOCUMENTS = 20_000
QUERIES = 500
HITS = 10
CHECKED = 20
CHUNK = 500
PREFIX = ["corpus"]
MIXED = "mixed"
KINDS = {
    "ten": "a word of 10 paragraphs",
    "rare": "a word of 10 to 50 paragraphs",
    "common": "a word of 1,000 to 5,000 paragraphs",
    "two": "two words of one paragraph",
    MIXED: "all of these",
}

_TOKEN = re.compile(r"[^\W_]+")
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

    def rate(self, queries: Sequence[str], seconds: int, connections: int) -> Measurement:
        """Searches per second over HTTP."""
        requests = [_request(query) for query in queries]
        expected = Expected('"value":{"source":"')
        return self.send(requests, expected, seconds=seconds, connections=connections)[1]

    def found(self, queries: Sequence[str]) -> list[list[int]]:
        """For each query the numbers of the documents that are found, in order."""
        return [
            [entry["key"][1] for entry in self.client.call(_request(query))] for query in queries
        ]


class Raw:
    """SQLite itself, on the server's own database file: one query after the other, in this process.

    It prepares a statement anew for each value of a variable behind LIMIT, and is spared that
    with `is_limit_text`.
    """

    SQL = """
SELECT kv_fts_1.rowid, f0, doc_key FROM kv_fts_1 JOIN kv_docs ON doc = kv_fts_1.rowid
WHERE kv_fts_1 MATCH ? ORDER BY rank LIMIT """

    def __init__(self, path: Path, *, is_limit_text: bool = False) -> None:
        self._sql = f"{self.SQL}{HITS if is_limit_text else '?'}"
        self._limit = () if is_limit_text else (HITS,)
        self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        self._connection.pragma("mmap_size", 1 << 28)

    def texts(self, query: str) -> list[str]:
        """The texts that are found, in order."""
        return [row[1] for row in self._connection.execute(self._sql, (query, *self._limit))]

    def rate(self, queries: Sequence[str], seconds: int) -> Measurement:
        """Searches per second, one after the other."""
        done = 0
        started = time.perf_counter()
        while (spent := time.perf_counter() - started) < seconds:
            for query in queries[:50]:
                self.texts(query)
            queries = [*queries[50:], *queries[:50]]
            done += 50
        return Measurement(done / spent)


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
    # Whole tokens: what is only a part of one would not be found.
    tokens = [set(_TOKEN.findall(document.text.lower())) for document in documents]
    words = [sorted(token for token in own if _WORD.fullmatch(token)) for own in tokens]
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


def check(server: Server, raw: Raw, documents: Sequence[Document], queries: Sequence[str]) -> None:
    """Both have to find as many; which of several equally good ones come first may differ."""
    checked = queries[:CHECKED]
    for query, numbers in zip(checked, server.found(checked), strict=True):
        ours = [documents[number].text for number in numbers]
        theirs = raw.texts(query)
        if len(ours) != len(theirs):
            raise BenchmarkError(f"{query!r} finds {ours!r:.200}, SQLite finds {theirs!r:.200}")
