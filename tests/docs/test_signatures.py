"""The reference of the client writes signatures as the code has them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple, get_overloads

import buntime_keyval
import pytest

REFERENCE = Path(__file__).parents[2] / "docs" / "client-reference.md"
_SECTION = re.compile(r"^## `(\w+)`.*?$", re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)\((.*?)\) -> (.*?)` \|", re.MULTILINE)
_KEYS_AND_VALUES = {
    "AsyncKv": {"K": "KeyLike", "V": "Any"},
    "AsyncStore": {"K": "StoreKey", "V": "T"},
    "AsyncAtomic": {"K": "MutationKey"},
    "AsyncStoreAtomic": {"K": "StoreKey | MutationKey"},
    "AsyncStoreTransaction": {"K": "StoreKey | MutationKey"},
}
"""What stands for the type variables of the classes that these are made of."""
_ALIASES = {
    "Found": "list[KvRecord[Any]]",
    "Changes": "list[RecordChange[Any]]",
    "Counts": "list[int]",
}
"""Names of the modules that the reference spells out."""


class Row(NamedTuple):
    """A method in the reference."""

    owner: str
    name: str
    written: str


def rows() -> list[Row]:
    """All methods of classes, in their order."""
    _, *parts = _SECTION.split(REFERENCE.read_text())
    return [
        Row(owner, name, f"{name}({parameters}) -> {result}".replace("\\|", "|"))
        for owner, text in zip(parts[::2], parts[1::2], strict=True)
        for name, parameters, result in _ROW.findall(text)
    ]


def signature_of(row: Row) -> str:
    """A signature as the reference writes it: without what is bound, and what is never given."""
    method = inspect.unwrap(getattr(getattr(buntime_keyval, row.owner), row.name))
    if "stored" in inspect.signature(method).parameters:  # the store that is said before the key
        method = get_overloads(method)[0]
    names = _ALIASES | _KEYS_AND_VALUES.get(row.owner, {})
    signature = inspect.signature(method)
    shown = [
        it.replace(annotation=_text(it.annotation))
        for it in signature.parameters.values()
        if it.name not in ("self", "cls") and it.annotation != "Never"
    ]
    parts: list[str] = []
    for it in shown:
        if it.kind is it.KEYWORD_ONLY and not any(part.startswith("*") for part in parts):
            parts.append("*")
        stars = "**" if it.kind is it.VAR_KEYWORD else "*" if it.kind is it.VAR_POSITIONAL else ""
        default = "" if it.default is it.empty else f" = {_default(it.default)}"
        parts.append(f"{stars}{it.name}: {it.annotation}{default}")
    text = f"{row.name}({', '.join(parts)}) -> {_text(signature.return_annotation)}"
    return re.sub(r"\b[A-Z]\w*", lambda it: names.get(it[0], it[0]), text)


def _text(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else annotation.__name__


def _default(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def test_all_signatures_are_found() -> None:
    found = rows()
    assert len(found) > 150
    assert {"AsyncKv", "AsyncStore", "AsyncAtomic", "AsyncTransaction", "Now"} <= {
        it.owner for it in found
    }


@pytest.mark.parametrize("row", rows(), ids=lambda it: f"{it.owner}.{it.name}")
def test_a_signature_is_that_of_the_code(row: Row) -> None:
    assert re.sub(r"(?<=\d)_(?=\d)", "", row.written) == signature_of(row)
