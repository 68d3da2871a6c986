"""Write what manifests and documents say of options: `scripts/options`.

A manifest says in a comment above `config:` which structs its options are declared by, and a
document in a comment above a table:

    # Made by scripts/options from package.module:Struct, package.module:Other
    <!-- Made by scripts/options from package.module:Struct -->

The block, or the table, is what follows up to its end.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from buntime_host.options.declared import Declared, Options, declared

ROOT = Path(__file__).parents[1]
MANIFESTS = ("manifest.yaml", "plugins/*/manifest.yaml")
DOCUMENTS = ("docs/*.md",)

NAMES = ("HTTP", "Hrana", "JSON", "MiB", "SQL", "URL")
"""Words that keep their capital in the middle of a sentence."""

_MADE_BY = r"Made by scripts/options from ([\w.:, ]+)"
_BLOCK = re.compile(rf"^(# {_MADE_BY})\nconfig:\n(?:(?: .*)?\n)*", re.MULTILINE)
_TABLE = re.compile(rf"^(<!-- {_MADE_BY} -->)\n\n?((?:\|.*\n)*)", re.MULTILINE)
_HEAD = "| option | default | meaning |\n|---|---|---|\n"
_HEAD_WITH_VARIABLES = "| option | variable | default | meaning |\n|---|---|---|---|\n"


def main() -> None:
    """Write all, or say which of them are not as they would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    check = parser.parse_args().check
    stale = [path for path, text in made() if not _is_current(path, text, write=not check)]
    if check and stale:
        names = ", ".join(str(path.relative_to(ROOT)) for path in stale)
        sys.exit(f"not as their declarations say: {names}; run scripts/options")


def made() -> Iterator[tuple[Path, str]]:
    """Every file that has such a comment, and its expected text."""
    for patterns, mark, write in ((MANIFESTS, _BLOCK, block), (DOCUMENTS, _TABLE, table)):
        for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
            text = path.read_text("utf-8")
            if mark.search(text):
                yield path, mark.sub(write, text)


def block(old: re.Match[str]) -> str:
    """The `config` block of a manifest, below its comment."""
    config = {one.name: _field(one) for one in _declared(old[2])}
    text = yaml.safe_dump({"config": config}, sort_keys=False, allow_unicode=True, width=100)
    return f"{old[1]}\n{text}"


def table(old: re.Match[str]) -> str:
    """A table of a document, below its comment."""
    options = [*_declared(old[2])]
    with_variables = all(_has_variable(one) for one in options)
    head = _HEAD_WITH_VARIABLES if with_variables else _HEAD
    return f"{old[1]}\n\n{head}{''.join(_rows(options, with_variables=with_variables))}"


def _has_variable(one: Declared) -> bool:
    return all(map(_has_variable, one.properties)) if one.properties else bool(one.env)


def _declared(sources: str) -> Iterator[Declared]:
    for source in sources.split(","):
        module, _, name = source.strip().partition(":")
        kind: type[Options] = getattr(importlib.import_module(module), name)
        yield from declared(kind)


def _field(one: Declared) -> dict[str, Any]:
    env = one.env[0] if len(one.env) == 1 else [*one.env]
    said = {
        "type": one.type,
        "optional": True if one.optional else None,
        "label": one.label,
        "description": one.description,
        "env": env,
        "options": [*one.choices],
        "min": one.least if one.type == "number" else None,
        "max": one.most if one.type == "number" else None,
        "default": one.default,
        "properties": {inner.name: _field(inner) for inner in one.properties},
    }
    return {name: value for name, value in said.items() if value not in (None, "", [], {})}


def _rows(
    options: Iterable[Declared], above: str = "", *, with_variables: bool = False
) -> Iterator[str]:
    for one in options:
        if one.properties:
            inner = f"{above}{one.name}."
            yield from _rows(one.properties, inner, with_variables=with_variables)
            continue
        if not (one.doc or one.label):
            continue
        default = "–" if one.default in (None, "") else f"`{_shown(one.default)}`"
        cells = [f"`{above}{one.name}`", default, _meaning(one, with_variables=with_variables)]
        if with_variables:
            cells.insert(1, _variables(one))
        yield f"| {' | '.join(cells)} |\n"


def _shown(default: object) -> str:
    if isinstance(default, list):
        return json.dumps(default)
    return str(default).lower() if isinstance(default, bool) else str(default)


def _variables(one: Declared) -> str:
    return ", ".join(f"`{name}`" for name in one.env)


def _meaning(one: Declared, *, with_variables: bool) -> str:
    meaning = one.doc
    if not meaning:
        sentences = [one.label, *([one.description] if one.description else [])]
        if one.choices:
            sentences[0] += f": {', '.join(one.choices)}"
        meaning = "; ".join(map(_begun_small, sentences))
    if one.env and not with_variables:
        meaning += f"; variable {_variables(one)}"
    return meaning


def _begun_small(text: str) -> str:
    """Without a capital at its beginning, unless that is part of a name."""
    return text if text.startswith(NAMES) else text[0].lower() + text[1:]


def _is_current(path: Path, text: str, *, write: bool) -> bool:
    current = path.read_text("utf-8") == text
    if write and not current:
        path.write_text(text, "utf-8")
    return current


if __name__ == "__main__":
    main()
