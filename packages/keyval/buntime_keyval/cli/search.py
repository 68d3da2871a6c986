"""Full-text search and its indexes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, get_args

import click
import msgspec

from buntime_keyval._calls.search import Tokenizer
from buntime_keyval._entries import raw_key
from buntime_keyval._results import SearchExplained, SearchHit, SearchPage
from buntime_keyval.cli.inputs import CONSISTENCY, IDEMPOTENCY_KEY, INDEX_PREFIX, KEY, WHERE
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import Output, shown_key, shown_value, visible
from buntime_keyval.wire import Key
from buntime_keyval.wire.limits import MAX_LIMIT
from buntime_keyval.wire.python_options import Consistency
from buntime_keyval.wire.searching import MAX_SNIPPET_WORDS

_MARKS = ("**", "**")


@click.command()
@click.argument("prefix", type=INDEX_PREFIX)
@click.argument("query")
@click.option("--limit", type=click.IntRange(1), help="At most this many.")
@click.option("--highlight", is_flag=True, help="Show the fields with hits, and mark the hits.")
@click.option(
    "--snippet", metavar="WORDS", type=click.IntRange(1, MAX_SNIPPET_WORDS),
    help="Show extracts of this many words around the hits.",
)  # fmt: skip
@click.option("--fuzzy", is_flag=True, help="If nothing is found, look for similar words.")
@click.option("--explain", is_flag=True, help="Show how hits were found, and how good each is.")
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
    explain: bool,
    consistency: Consistency,
    where: dict[str, Any] | None,
) -> None:
    """Find entries by their words, the most relevant first.

    PREFIX has to be the prefix of an index.

    With --highlight or --snippet, each field with a hit is a line of key, field and text, with the
    hits between asterisks. In JSON, an entry has a member of that name, with <mark> around
    highlighted hits.

    With --explain, each hit has its score; the larger, the better. stderr shows how the query was
    read: its words, how many entries have each, and the plan of the engine. In JSON that is the
    first line, {"explained": ...}.

    Example: buntime kv search articles 'typed python' --limit 5
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
        explain=explain,
        consistency=consistency,
    )
    hits = _hits(search_page, limit, job.out)
    if job.out.as_json:
        for hit in hits:
            shown = {name: getattr(hit, name) for name in ("highlight", "snippet", "score")}
            job.out.entry_json(hit, **{name: it for name, it in shown.items() if it is not None})
        return
    columns = ("field", "text") if shows_text else ("value",)
    shown_hit = _texts if shows_text else partial(_value, short=job.out.is_terminal)
    scored = ("score",) if explain else ()
    rows = ((*_named(hit), *cells) for hit in hits for cells in shown_hit(hit))
    job.out.table(("key", *scored, *columns), rows)


def _hits(
    search_page: Callable[..., SearchPage[Any]], limit: int | None, out: Output
) -> Iterator[SearchHit[Any]]:
    """All hits, or the first `limit`; what is to be said beside them goes to stderr."""
    left = sys.maxsize if limit is None else limit
    page = search_page(limit=min(left, MAX_LIMIT))
    for text in page.warnings:
        click.echo(f"warning: {text}", err=True)
    if page.searched_for is not None:
        click.echo(f"Nothing was found; searched for: {page.searched_for}", err=True)
    if page.explained is not None:
        if out.as_json:
            out.document(explained=page.explained)
        else:
            for line in _explanation(page.explained):
                click.echo(visible(line), err=True)
    while True:
        yield from page.entries
        left -= len(page.entries)
        if not page.has_more or left <= 0:
            return
        page = search_page(limit=min(left, MAX_LIMIT), cursor=page.cursor)


def _explanation(explained: SearchExplained) -> Iterator[str]:
    yield f"words by {explained.tokenize}:"
    for term in explained.terms:
        field = "" if term.field is None else f"{term.field}:"
        found = f"{term.entries}{'+' if term.more else ''} of the entries"
        yield f"  {field}{term.text}{'*' if term.prefix else ''}: {found}"
    if explained.asked is not None:
        yield f"asked: {explained.asked}"
        yield "plan:"
        for step in explained.plan:
            yield f"  {step}"


def _named(hit: SearchHit[Any]) -> tuple[str, ...]:
    """The key of a hit, and its score where it has one."""
    key = shown_key(hit.key)
    return (key,) if hit.score is None else (key, f"{hit.score:.4g}")


def _texts(hit: SearchHit[Any]) -> Iterator[tuple[str, str]]:
    for field, text in (hit.snippet or hit.highlight or {}).items():
        if _MARKS[0] in text:
            yield field, text


def _value(hit: SearchHit[Any], *, short: bool) -> Iterator[tuple[str]]:
    yield (shown_value(hit.value, short=short),)


@click.group()
def index() -> None:
    """Create, list and remove full-text indexes."""


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
    job: Job, prefix: Key, fields: tuple[str, ...], tokenize: Tokenizer, idempotency_key: str | None
) -> None:
    """Index fields of all entries below a prefix; replaces an existing index.

    Example: buntime kv index create articles title body --tokenize porter
    """
    job.kv.create_index(prefix, fields=fields, tokenize=tokenize, idempotency_key=idempotency_key)
    if job.out.as_json:
        job.out.document(ok=True)


@index.command("list")
@connected
def list_(job: Job) -> None:
    """List the indexes.

    Example: buntime kv index list
    """
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
    """Remove an index; the entries stay.

    Example: buntime kv index remove articles
    """
    job.kv.remove_index(prefix, idempotency_key=idempotency_key)
    if job.out.as_json:
        job.out.document(ok=True)


COMMANDS = [search, index]
