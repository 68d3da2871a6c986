"""`search`: full-text search of real text, over HTTP and by SQLite itself on the same table.

The paragraphs of the standard library's sources become entries with an index. Both give the ten
best hits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import search_corpus
from group import Group, Plan, Selection, Settings, job
from results import Comparison, Measurement, Row, Section
from search_corpus import KINDS, Raw, Server

OURS, RAW, RAW_TEXT = "Buntime", "raw FTS5", "raw FTS5, limit in the text"
AIM = 0.5
"""Least share of the raw rate."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    documents = search_corpus.read_corpus()
    queries = search_corpus.make_queries(documents)
    server = Server(documents)
    with server.running(folder, []):
        (path,) = (file for file in (folder / "data").rglob("*") if file.suffix == ".db")
        raw, raw_text = Raw(path), Raw(path, is_limit_text=True)
        kinds = [kind for kind in KINDS if kind in chosen["search"]]
        for kind in kinds:
            search_corpus.check(server, raw, documents, queries[kind])
        seconds, connections = settings.seconds, settings.connections
        jobs = [
            job((kind, contender), measure)
            for kind in kinds
            for contender, measure in (
                (OURS, partial(server.rate, queries[kind], seconds, connections)),
                (RAW, partial(raw.rate, queries[kind], seconds)),
                (RAW_TEXT, partial(raw_text.rate, queries[kind], seconds)),
            )
        ]
        filled = Measurement(len(documents) / server.fill_seconds)
        jobs.append(job(("fill", OURS), lambda: filled, once=True))
        yield Plan(jobs, [SECTION])


SECTION = Section(
    "search",
    "Search",
    [
        *(
            Row(
                (kind, OURS),
                title,
                comparisons=[
                    Comparison(f"÷ {RAW}", (kind, RAW), AIM),
                    Comparison(f"÷ {RAW_TEXT}", (kind, RAW_TEXT)),
                ],
            )
            for kind, title in KINDS.items()
        ),
        Row(("fill", OURS), "paragraphs that a new index takes in"),
        *(Row((kind, raw), title) for raw in (RAW, RAW_TEXT) for kind, title in KINDS.items()),
    ],
)
GROUP = Group({"search": tuple(KINDS)}, opened)
