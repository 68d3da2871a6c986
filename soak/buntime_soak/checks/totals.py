"""What is only moved around is neither made nor lost, in whatever way one looks at it.

Accounts have money that is transferred, and tokens move from key to key. Every view of all of them
is of one moment: a list, a batch, pages of one snapshot, and all that a watch has told so far.

Kinds: `accounts` (got: amount by key; asked: how it was read), `tokens` (got: token by key).
`asked` of a view has `total`, what there must be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from buntime_soak.history import Op, Violation, of_kinds

NAME = "totals"


def check(ops: Sequence[Op], *, total: int, tokens: Sequence[str]) -> list[Violation]:
    """Every view."""
    found: list[Violation] = []
    for op in of_kinds(ops, "accounts", "tokens"):
        if op.outcome != "ok":
            continue
        wrong = (
            wrong_accounts(op.got, total) if op.kind == "accounts" else wrong_tokens(op.got, tokens)
        )
        if wrong:
            found.append(Violation(NAME, f"{op.asked} shows {wrong}", (op,)))
    return found


def wrong_accounts(amounts: Mapping[str, Any], total: int) -> str:
    """What is wrong with a view of all accounts; nothing if it is right."""
    sum_ = sum(amounts.values())
    return "" if sum_ == total else f"a total of {sum_}, and not {total}: {dict(amounts)}"


def wrong_tokens(places: Mapping[str, Any], tokens: Sequence[str]) -> str:
    """What is wrong with a view of all places of tokens."""
    counted = Counter(places.values())
    parts = [f"{token} {counted[token]} times" for token in tokens if counted[token] != 1]
    parts += [f"{token}, which never was" for token in counted if token not in tokens]
    return ", ".join(parts)
