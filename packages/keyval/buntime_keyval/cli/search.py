"""Full-text search and its indexes."""

from __future__ import annotations

from typing import Any, Literal

import click
import msgspec

from buntime_keyval._entries import raw_key
from buntime_keyval.cli.inputs import WHERE, key_argument
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_key
from buntime_keyval.wire import Key


@click.command()
@click.argument("prefix", type=key_argument)
@click.argument("query")
@click.option("--limit", type=click.IntRange(1), help="So many at the most.")
@WHERE
@connected
def search(
    job: Job, prefix: Key, query: str, limit: int | None, where: dict[str, Any] | None
) -> None:
    """Find entries by their words, the most relevant first; the prefix is that of an index."""
    job.out.entries(job.kv.search(prefix, query, limit=limit, where=where))


@click.group()
def index() -> None:
    """Full-text indexes."""


@index.command()
@click.argument("prefix", type=key_argument)
@click.argument("fields", metavar="FIELD...", nargs=-1, required=True)
@click.option(
    "--tokenize", type=click.Choice(["unicode61", "porter", "ascii"]), default="unicode61",
    show_default=True, help="How texts are split into words.",
)  # fmt: skip
@connected
def create(
    job: Job,
    prefix: Key,
    fields: tuple[str, ...],
    tokenize: Literal["unicode61", "porter", "ascii"],
) -> None:
    """Index fields of all entries below a prefix, replacing an index that is there."""
    job.kv.create_index(prefix, fields=fields, tokenize=tokenize)
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
@click.argument("prefix", type=key_argument)
@connected
def remove(job: Job, prefix: Key) -> None:
    """Remove an index; the entries stay."""
    job.kv.remove_index(prefix)
    if job.out.as_json:
        job.out.document(ok=True)


COMMANDS = [search, index]
