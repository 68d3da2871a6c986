"""Explanations of how a search found its entries."""

from __future__ import annotations

from itertools import islice

from buntime_keyval import SearchExplained, SearchTerm

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.storage.dialects.search import SearchQuestion
from buntime_plugin_keyval.storage.queries import parse_query, terms_of
from buntime_plugin_keyval.storage.searching import Index, SearchOptions

MOST_TERMS = 20
"""The most words and phrases of a query whose entries are counted."""

MOST_ENTRIES = 10_000
"""The most entries that are counted for one of them."""


async def explain(
    store: Store, index: Index, query: str, options: SearchOptions, *, fresh: bool
) -> SearchExplained:
    """The query put to the index, how often each part occurs, and the engine's query plan.

    Raises `InvalidInput` for a query beyond the limits, and `DatabaseError`.
    """
    sql, adapter = store.sql.search, store.adapter
    fields, tokenize = index.options
    parsed = parse_query(query, fields)
    terms = []
    for term in islice(dict.fromkeys(terms_of(parsed)), MOST_TERMS):
        expression = sql.match(term, tokenize).expression
        entries = 0
        if expression is not None:
            statement = sql.matching(index, expression, MOST_ENTRIES + 1)
            ((entries,),) = await adapter.query(*statement, fresh=fresh)  # type: ignore[assignment] # a count
        field = None if term.field is None else fields[term.field]
        terms.append(
            SearchTerm(
                term.text,
                min(entries, MOST_ENTRIES),
                more=entries > MOST_ENTRIES,
                prefix=term.is_prefix,
                field=field,
            )
        )
    expression = sql.match(parsed, tokenize).expression
    if expression is None:
        return SearchExplained(tokenize, tuple(terms))
    condition = store.condition(options.where, [index.keys])
    ask = sql.page if condition.recheck is None else sql.rows
    question = SearchQuestion(index, expression, options, condition, store.clock.now())
    statement = sql.explain(ask(question))
    plan = sql.plan(await adapter.query(*statement, fresh=fresh))
    return SearchExplained(tokenize, tuple(terms), expression, tuple(plan))
