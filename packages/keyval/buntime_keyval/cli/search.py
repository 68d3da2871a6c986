"""Full-text search and its indexes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, get_args

import click
import msgspec

from buntime_keyval._calls.search import Tokenizer
from buntime_keyval._entries import raw_key
from buntime_keyval._results import SearchHit, SearchPage
from buntime_keyval.cli.inputs import CONSISTENCY, IDEMPOTENCY_KEY, INDEX_PREFIX, KEY, WHERE
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_key
from buntime_keyval.wire import Key
from buntime_keyval.wire.limits import MAX_LIMIT
from buntime_keyval.wire.python_options import Consistency
from buntime_keyval.wire.searching import MAX_SNIPPET_WORDS

_MARKS = ("**", "**")


@click.command()
@click.argument("prefix", type=INDEX_PREFIX)
@click.argument("query")
@click.option("--limit", type=click.IntRange(1), help="So many at the most.")
@click.option("--highlight", is_flag=True, help="Show the fields with hits, and mark these.")
@click.option(
    "--snippet", metavar="WORDS", type=click.IntRange(1, MAX_SNIPPET_WORDS),
    help="Show extracts of so many words around the hits.",
)  # fmt: skip
@click.option("--fuzzy", is_flag=True, help="Look for similar words where nothing is found.")
@CONSISTENCY
@WHERE
@connected
def search(
    job: Job,
    prefix: Key,
    query: str,
    limit: int | None,
    highlight: bool,
    snippet: int | None,
    fuzzy: bool,
    consistency: Consistency,
    where: dict[str, Any] | None,
) -> None:
    """Find entries by their words, the most relevant first; the prefix is that of an index.

    With --highlight or --snippet each field with a hit is a line of key, field and text, and the
    hits stand between asterisks. In JSON it is a member of that name, with <mark> around hits
    where they are to be highlighted.
    """
    shows_text = highlight or snippet is not None
    search_page = partial(
        job.kv.paginate_search,
        prefix,
        query,
        where=where,
        highlight=highlight if job.out.as_json or not shows_text else _MARKS,
        snippet=snippet or False,
        fuzzy=fuzzy,
        consistency=consistency,
    )
    hits = _hits(search_page, limit)
    if job.out.as_json:
        for hit in hits:
            shown: dict[str, Any] = {"highlight": hit.highlight, "snippet": hit.snippet}
            job.out.entry_json(hit, **{name: it for name, it in shown.items() if it is not None})
    elif shows_text:
        job.out.table(("key", "field", "text"), _texts(hits))
    else:
        job.out.entries(hits)


def _hits(
    search_page: Callable[..., SearchPage[Any]], limit: int | None
) -> Iterator[SearchHit[Any]]:
    """All hits, or the first `limit`; what is to be said beside them goes to stderr."""
    left = sys.maxsize if limit is None else limit
    page = search_page(limit=min(left, MAX_LIMIT))
    for text in page.warnings:
        click.echo(f"warning: {text}", err=True)
    if page.searched_for is not None:
        click.echo(f"Nothing was found; searched for: {page.searched_for}", err=True)
    while True:
        yield from page.entries
        left -= len(page.entries)
        if not page.has_more or left <= 0:
            return
        page = search_page(limit=min(left, MAX_LIMIT), cursor=page.cursor)


def _texts(hits: Iterable[SearchHit[Any]]) -> Iterator[tuple[str, str, str]]:
    for hit in hits:
        for field, text in (hit.snippet or hit.highlight or {}).items():
            if _MARKS[0] in text:
                yield shown_key(hit.key), field, text


@click.group()
def index() -> None:
    """Full-text indexes."""


@index.command()
@click.argument("prefix", type=KEY)
@click.argument("fields", metavar="FIELD...", nargs=-1, required=True)
@click.option(
    "--tokenize", type=click.Choice(get_args(Tokenizer)), default="unicode61", show_default=True,
    help="How texts are split into words.",
)  # fmt: skip
@IDEMPOTENCY_KEY
@connected
def create(
    job: Job,
    prefix: Key,
    fields: tuple[str, ...],
    tokenize: Tokenizer,
    idempotency_key: str | None,
) -> None:
    """Index fields of all entries below a prefix, replacing an index that is there."""
    job.kv.create_index(prefix, fields=fields, tokenize=tokenize, idempotency_key=idempotency_key)
    if job.out.as_json:
        job.out.document(ok=True)


@index.command("list")
@connected
def list_(job: Job) -> None:
    """List the indexes."""
    indexes = job.kv.list_indexes()
    if job.out.as_json:
        for it in indexes:
            members = msgspec.structs.asdict(it) | {"prefix": raw_key(it.prefix)}
            members["tableName"] = members.pop("table_name")
            job.out.document(**members)
        return
    rows = [
        (
            shown_key(it.prefix),
            ", ".join(it.fields),
            it.tokenize,
            f"{it.documents}/{it.entries}",
            "ready" if it.ready else "building",
        )
        for it in indexes
    ]
    job.out.table(("prefix", "fields", "tokenize", "indexed", "state"), rows)


@index.command()
@click.argument("prefix", type=INDEX_PREFIX)
@IDEMPOTENCY_KEY
@connected
def remove(job: Job, prefix: Key, idempotency_key: str | None) -> None:
    """Remove an index; the entries stay."""
    job.kv.remove_index(prefix, idempotency_key=idempotency_key)
    if job.out.as_json:
        job.out.document(ok=True)


COMMANDS = [search, index]
