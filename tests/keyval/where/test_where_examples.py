"""The filters of the compatibility contract over its five example users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pytest

Ask: TypeAlias = Callable[[Sequence[object], object], list[int]]


def user(name: str, age: int, status: str, tags: list[str], **more: Any) -> dict[str, Any]:
    """Return one example user; the address is null where none is given."""
    return {"name": name, "age": age, "status": status, "tags": tags, "email": None} | more


USERS = [
    user(
        *("Alice", 30, "active", ["admin", "user"]),
        email="alice@example.com",
        profile={"verified": True},
        items=[{"price": 150}],
    ),
    user(
        *("Bob", 25, "inactive", ["user"]),
        email="bob@test.com",
        profile={"verified": False},
        items=[{"price": 50}],
    ),
    user("Charlie", 35, "active", [], email="charlie@example.com"),
    user("Diana", 28, "pending", ["moderator"], email="diana@test.com"),
    user("Eve", 40, "active", ["admin"]),
]


@pytest.mark.parametrize(
    ("where", "initials"),
    [
        ({"status": {"$eq": "active"}}, "ACE"),
        ({"status": {"$ne": "active"}}, "BD"),
        ({"age": {"$ne": 30}}, "BCDE"),
        ({"age": {"$gt": 30}}, "CE"),
        ({"name": {"$gt": "Charlie"}}, "DE"),
        ({"age": {"$lte": 30}}, "ABD"),
        ({"age": {"$between": [25, 35]}}, "ABCD"),
        ({"age": {"$gte": 25, "$lte": 35}}, "ABCD"),
        ({"age": {"$gt": 100}}, ""),
        ({"status": {"$in": ["active", "pending"]}}, "ACDE"),
        ({"status": {"$nin": ["active", "pending"]}}, "B"),
        ({"email": {"$contains": "@example"}}, "AC"),
        ({"name": {"$contains": "alice"}}, ""),
        ({"email": {"$notContains": "@test"}}, "AC"),
        ({"email": {"$endsWith": ".com"}}, "ABCD"),
        ({"name": {"$containsi": "CHARLIE"}}, "C"),
        ({"name": {"$notContainsi": "a"}}, "BE"),
        ({"name": {"$startsWithi": "a"}}, "A"),
        ({"name": {"$endsWithi": "E"}}, "ACE"),
        ({"$not": {"tags": {"$contains": "admin"}}}, "BCD"),
        ({"email": {"$null": True}}, "E"),
        ({"profile": {"$null": True}}, "CDE"),
        ({"tags": {"$empty": True}}, "C"),
        ({"tags": {"$notEmpty": True}}, "ABDE"),
        ({"$and": [{"status": "active"}, {"age": {"$gte": 35}}]}, "CE"),
        ({"$or": [{"status": "inactive"}, {"age": {"$gte": 40}}]}, "BE"),
        ({"status": "active", "$or": [{"age": {"$lt": 32}}, {"age": {"$gte": 40}}]}, "AE"),
        ({"profile.verified": True}, "A"),
        ({"profile.verified": False}, "B"),
        ({"items[0].price": {"$gt": 100}}, "A"),
        ({}, "ABCDE"),
    ],
    ids=str,
)
def test_example_users(ask: Ask, where: object, initials: str) -> None:
    assert "".join("ABCDE"[position] for position in ask(USERS, where)) == initials
