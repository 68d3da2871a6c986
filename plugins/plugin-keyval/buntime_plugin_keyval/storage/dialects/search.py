"""Full-text indexes: the catalogue of them, building one, and asking it.

Where a row begins with an index, that is number, prefix, fields as JSON, tokenizer and format: see
`index_of_row`. No number is ever used again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from buntime_database import Guard, Statement, Value

from buntime_plugin_keyval.storage.queries import Query
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.searching import Index, SearchOptions
from buntime_plugin_keyval.storage.selection import RowCondition


class CatalogueSql(NamedTuple):
    """Operations on descriptions of indexes. The last number is that of the newest index."""

    ready: str
    """Prefix: the index that answers."""
    all: str
    """Each index, whether it answers, how many entries are in it; in the order of prefixes."""
    counts: str
    """Their number, and how many of them do not answer yet."""
    newest: str
    """Prefix: the newest index, and whether it answers."""
    of_prefix: str
    """Prefix, number: the older ones of the prefix."""
    outdated: str
    """Format: those that answer, are of an older one and have none that is newer; and the prefix as
    JSON."""
    unfinished: str
    """Those that do not answer yet."""
    last_id: str
    """The last number, 0 for none."""
    add: str
    """Number, prefix, the same as JSON, fields, tokenizer, format, time on the wall."""
    set_ready: str
    """Number: it answers from now on."""
    is_last_id: str
    """Condition of a guard. The last number is this one."""
    has_room: str
    """Condition of a guard. Prefix, number: it has an index, or fewer prefixes than that have one.
    """
    is_there: str
    """Condition of a guard. Number: there is this index."""
    is_unfinished: str
    """Condition of a guard. Number: the same, and it does not answer yet."""
    are_these: str
    """Condition of a guard. Prefix, number, numbers with commas or NULL: `of_prefix` has these."""


class Match(NamedTuple):
    """The query in the engine's form."""

    expression: str | None
    """None if there is nothing to look for."""
    warnings: tuple[str, ...] = ()
    """Parts that the tokenizer of the index cannot look for, or only as a whole."""
    is_word: bool = False
    """Whether it is one word, so that it is known from the index alone how many entries match."""


class SearchQuestion(NamedTuple):
    """What an index is asked at a moment."""

    searched: Index
    match: str
    """The expression of a `Match`."""
    options: SearchOptions
    condition: RowCondition
    now_ms: int
    as_bytes: bool = False
    """Whether a page is wanted as bytes of UTF-8."""


class SearchSql(NamedTuple):
    """Operations on indexes. What they look for is the expression of a `Match`."""

    catalogue: CatalogueSql
    format: int
    """The present way of building indexes; older ones are rebuilt in the background."""
    create: Callable[[Index], Sequence[Statement]]
    """Makes an empty index that every write of an entry keeps up to date from now on, whatever
    writes it. Raises `InvalidInput` for fields that it cannot have."""
    drop: Callable[[Index], Sequence[Statement]]
    """Removes all of it."""
    fill: Callable[[Index, KeyRange], Sequence[Statement]]
    """Adds the entries of a range that are not in it."""
    next_entries: str
    """Start and end of a range, limit: key, and bytes of the value."""
    below: str
    """Start and end of a range: how many entries there are, expired or not."""
    unfit: str
    """Indexes that cannot be kept up to date any more as they are."""
    refit: Callable[[Index], Sequence[Statement | Guard]]
    """What mends such an index; guarded, since another process may do the same."""
    match: Callable[[Query, str], Match]
    """Query, tokenizer: the same in the language of the engine."""
    page: Callable[[SearchQuestion], Statement]
    """One row: the entries as the inside of a JSON array, and whether there are more. Raises
    `InvalidInput` for the weight of an unknown field."""
    small: Callable[[Index, str, SearchOptions], Statement] | None
    """Index, query, options: a row for each entry of a page, live or not, and for one more: see
    `SmallHit`. Ranks one more than `FEW` entries at the most, so for one word it is a bounded read.
    Raises `InvalidInput` for the weight of an unknown field."""
    rows: Callable[[SearchQuestion], Statement]
    """A row for each entry, its JSON and its value. Raises as `page`."""
    words: Callable[[Index, str, tuple[int, int], int], Statement]
    """Index, letter or nothing, shortest and longest, limit: words of the index that begin with the
    letter, and how many entries have each."""
    matching: Callable[[Index, str, int], Statement]
    """Index, expression, limit: how many entries match, up to the limit."""
    explain: Callable[[Statement], Statement]
    """A statement: the engine's plan for it."""
    plan: Callable[[Sequence[Sequence[Value]]], list[str]]
    """The rows of that: the steps, a line for each."""
