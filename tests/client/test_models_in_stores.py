"""Typed stores of Pydantic models: what they validate, and how they are written.

Each test runs with the `LocalKv` of a plugin and with `AsyncKv`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest
from buntime_keyval import AsyncKv, InvalidInput, InvalidValue, KvEntry
from buntime_plugin_keyval.faces.local.kv import LocalKv
from pydantic import BaseModel, ConfigDict, Field, field_validator
from support.store import open_kv

AnyKv = AsyncKv | LocalKv


@pytest.fixture(params=["in-process", pytest.param("http", marks=pytest.mark.slow)])
async def kv(request: pytest.FixtureRequest) -> AsyncIterator[AnyKv]:
    if request.param == "in-process":
        async with open_kv() as local:
            yield local
    else:
        async with AsyncKv(request.getfixturevalue("api")) as client:
            yield client


class Address(BaseModel):
    city: str


class User(BaseModel):
    model_config = ConfigDict(strict=True)

    name: str = Field(alias="fullName", min_length=1)
    born: datetime | None = None
    big: int = 0
    address: Address | None = None

    @field_validator("name")
    @classmethod
    def is_no_robot(cls, name: str) -> str:
        if name == "robot":
            raise ValueError("robots are not users")
        return name


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    x: int = 0


@pydantic.dataclasses.dataclass
class Point:
    x: int
    y: int = Field(default=0, ge=0)


async def test_models_come_back_by_their_own_validation(kv: AnyKv) -> None:
    users = kv.store(["users"], type=User)
    ada = User(fullName="Ada", born=datetime(1815, 12, 10, tzinfo=UTC), big=2**70)
    await users.set("ada", ada)
    assert (await users.get("ada")).value == ada
    stored = (await kv.get(["users", "ada"])).value
    assert stored == {
        "fullName": "Ada", "born": "1815-12-10T00:00:00Z", "big": 2**70, "address": None,
    }  # fmt: skip
    assert [entry.value async for entry in users.list()] == [ada]
    made = await users.get_or_set("bob", lambda: User(fullName="Bob"))
    assert made.value == User(fullName="Bob")
    everybody = kv.store(["all"], type=list[User])
    await everybody.set("x", [ada])
    assert (await everybody.get("x")).value == [ada]
    points = kv.store(["points"], type=Point)
    await points.set("p", Point(1, 2))
    assert (await points.get("p")).value == Point(1, 2)


async def test_what_a_model_refuses_is_said(kv: AnyKv) -> None:
    users = kv.store(["users"], type=User)
    wrong: Any
    for wrong, words in (
        ({"fullName": "robot"}, "robots are not users - at `$.fullName`"),
        ({"fullName": 5}, "valid string - at `$.fullName`"),
        ({"fullName": "a", "address": {"city": 1}}, "`$.address.city`"),
        ({}, "Field required - at `$.fullName`"),
        (5, "User"),
    ):
        with pytest.raises(InvalidValue) as refused:
            await users.set("x", wrong)
        assert "is not of type User" in str(refused.value)
        assert words in str(refused.value)
    changed = User(fullName="Ada")
    changed.name = 5  # type: ignore[assignment] # which a model lets pass
    with pytest.raises(InvalidValue, match="fullName"):
        await users.set("x", changed)
    await kv.set(["users", "old"], {"name": "Ada"})
    with pytest.raises(
        InvalidValue, match=r'\["users","old"\] is not of type User: Field required'
    ):
        await users.get("old")

    def renamed(entry: KvEntry[Any], _: InvalidValue) -> Any:
        old: Any = entry.value
        return {"fullName": old["name"]}

    migrating = kv.store(["users"], type=User, on_invalid=renamed)
    assert (await migrating.get("old")).value == User(fullName="Ada")
    assert [it.key async for it in kv.store(["users"], type=User, on_invalid="skip").list()] == []


async def test_what_is_merged_into_a_model(kv: AnyKv) -> None:
    users = kv.store(["users"], type=User)
    await users.set("ada", User(fullName="Ada"))
    await users.patch("ada", {"address": {"city": "London"}})
    assert (await users.get("ada")).value == User(fullName="Ada", address=Address(city="London"))
    with pytest.raises(InvalidValue, match="There is no member `name`"):
        await users.patch("ada", {"name": "Bob"})
    with pytest.raises(InvalidValue, match="a model is none"):
        await users.incr("ada")
    anything = kv.store(["open"], type=Open)
    await anything.patch("a", {"y": 1})
    assert (await anything.get("a")).value == Open.model_validate({"x": 0, "y": 1})


async def test_what_pydantic_cannot_validate_is_no_type(kv: AnyKv) -> None:
    class Odd:
        pass

    with pytest.raises(InvalidInput, match="cannot be the type of a store"):
        kv.store(["x"], type=dict[str, User | Odd])
