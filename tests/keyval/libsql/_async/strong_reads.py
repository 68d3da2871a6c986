"""Every way to read, strongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


async def check_strong_reads(kv: Any, other: Any, rounds: int) -> None:
    """Each way to read comes right behind a write of somebody else, so none helps another."""
    await kv.create_index(["strong"], fields=["word"])
    store = kv.store(["strong"])
    for number in range(rounds):
        for which, read in enumerate(ways_to_read(kv)):
            value = {"word": f"w{number}x{which}"}
            await other.set(["strong", 1], value)
            assert await read(value["word"]) == value, (number, which)
        await other.set(["strong", 2], {"word": "more"})
        assert await kv.count(["strong"], consistency="strong") == 2
        await other.delete(["strong", 2])
        assert not await kv.has(["strong", 2], consistency="strong")
        await other.set(["strong", 2], {"word": "more"})
        assert await store.count(consistency="strong") == 2
        await other.delete(["strong", 2])
        assert not await store.has([2], consistency="strong")


def ways_to_read(kv: Any) -> list[Callable[[str], Any]]:
    """Every way to read the entry with a word."""
    store = kv.store(["strong"], dict)
    key = ["strong", 1]
    strong: dict[str, Any] = {"consistency": "strong"}

    async def value(read: Any) -> Any:
        found = await read
        return (found[0] if isinstance(found, list) else found).value

    async def first(entries: Any) -> Any:
        found = [entry.value async for entry in entries]
        return found[0] if found else None

    async def of_page(read: Any) -> Any:
        entries = (await read).entries
        return entries[0].value if entries else None

    return [
        lambda _: value(kv.get(key, **strong)),
        lambda _: value(kv.get([key], **strong)),
        lambda _: value(kv.get_with_metadata(key, **strong)),
        lambda _: value(kv.get_with_metadata([key], **strong)),
        lambda _: first(kv.list(["strong"], **strong)),
        lambda _: of_page(kv.paginate(["strong"], **strong)),
        lambda word: first(kv.search(["strong"], word, **strong)),
        lambda word: of_page(kv.paginate_search(["strong"], word, **strong)),
        lambda _: value(store.get([1], **strong)),
        lambda _: value(store.get_many([[1]], **strong)),
        lambda _: value(store.get_with_metadata([1], **strong)),
        lambda _: first(store.list(**strong)),
        lambda _: value(store.get_all(**strong)),
        lambda _: of_page(store.paginate(**strong)),
    ]
