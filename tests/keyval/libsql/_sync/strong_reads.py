# Made by scripts/unasync from _async/strong_reads.py: change that one.
"""Every way to read, strongly."""

from __future__ import annotations

from typing import Any


def reads_of(kv: Any, number: int) -> list[Any]:
    """Every way to read the last entry, each once, strongly."""
    store = kv.store(["strong"], dict)
    strong: dict[str, Any] = {"consistency": "strong"}
    last: dict[str, Any] = {"reverse": True, "limit": 1}

    def value(read: Any) -> Any:
        found = read
        return (found[0] if isinstance(found, list) else found).value

    def first(entries: Any) -> Any:
        return (next(iter(entries))).value

    def of_page(read: Any) -> Any:
        return (read).entries[0].value

    key = ["strong", number]
    return [
        value(kv.get(key, **strong)),
        value(kv.get([key], **strong)),
        value(kv.get_with_metadata(key, **strong)),
        value(kv.get_with_metadata([key], **strong)),
        first(kv.list(["strong"], **last, **strong)),
        of_page(kv.paginate(["strong"], **last, **strong)),
        first(kv.search(["strong"], f"w{number}", **strong)),
        of_page(kv.paginate_search(["strong"], f"w{number}", **strong)),
        value(store.get([number], **strong)),
        value(store.get_many([[number]], **strong)),
        value(store.get_with_metadata([number], **strong)),
        first(store.list(**last, **strong)),
        of_page(store.paginate(**last, **strong)),
    ]
