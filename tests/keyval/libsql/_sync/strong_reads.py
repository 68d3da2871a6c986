# Made by scripts/unasync from _async/strong_reads.py: change that one.
"""Every way to read, strongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def check_strong_reads(kv: Any, other: Any, rounds: int) -> None:
    """Each way to read comes right behind a write of somebody else, so none helps another."""
    kv.create_index(["strong"], fields=["word"])
    store = kv.store(["strong"])
    for number in range(rounds):
        for which, read in enumerate(ways_to_read(kv)):
            value = {"word": f"w{number}x{which}"}
            other.set(["strong", 1], value)
            assert read(value["word"]) == value, (number, which)
        other.set(["strong", 2], {"word": "more"})
        assert kv.count(["strong"], consistency="strong") == 2
        other.delete(["strong", 2])
        assert not kv.has(["strong", 2], consistency="strong")
        other.set(["strong", 2], {"word": "more"})
        assert store.count(consistency="strong") == 2
        other.delete(["strong", 2])
        assert not store.has([2], consistency="strong")


def ways_to_read(kv: Any) -> list[Callable[[str], Any]]:
    """Every way to read the entry with a word."""
    store = kv.store(["strong"], dict)
    key = ["strong", 1]
    strong: dict[str, Any] = {"consistency": "strong"}

    def value(read: Any) -> Any:
        found = read
        return (found[0] if isinstance(found, list) else found).value

    def first(entries: Any) -> Any:
        found = [entry.value for entry in entries]
        return found[0] if found else None

    def of_page(read: Any) -> Any:
        entries = (read).entries
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
