"""What there is in the product: files, and the names that its modules define."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("host", "plugins", "packages", "soak", "benchmarks", "scripts", "tests/support")


@cache
def sources() -> tuple[Path, ...]:
    """Every module of the product."""
    return tuple(path for part in PARTS for path in sorted((ROOT / part).rglob("*.py")))


@cache
def packages() -> tuple[Path, ...]:
    """The folder of every import package."""
    folders = {path.parent for path in sources() if path.name == "__init__.py"}
    return tuple(sorted(path for path in folders if path.parent not in folders))


@cache
def names_of(path: Path) -> frozenset[str]:
    """What a module defines: `name`, and `Class.name` for members and attributes."""
    return frozenset(_defined(ast.parse(path.read_text("utf-8")), ""))


@cache
def all_names() -> frozenset[str]:
    """What any module defines, members of classes also without their class."""
    found = {name for path in sources() for name in names_of(path)}
    return frozenset(found | {name.rpartition(".")[2] for name in found})


@cache
def tables_and_columns() -> frozenset[str]:
    """The tables and the columns that migrations add, and the table that counts these."""
    folders = (ROOT / "plugins").glob("*/*/storage/dialects/*/migrations")
    text = "".join(file.read_text() for folder in folders for file in folder.glob("*.sql"))
    added = re.findall(r"(?:CREATE (?:VIRTUAL )?TABLE|ADD COLUMN) (\w+)", text)
    return frozenset(added) | {"kv_migrations"}


@cache
def options() -> frozenset[str]:
    """The options of host and plugins, by their path and by their last name."""
    manifests = [ROOT / "manifest.yaml", *(ROOT / "plugins").glob("*/manifest.yaml")]
    paths = {
        path
        for manifest in manifests
        for path in _options(yaml.safe_load(manifest.read_text()).get("config") or {}, "")
    }
    return frozenset(paths | {path.rpartition(".")[2] for path in paths})


def _defined(body: ast.AST, above: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(body):
        if isinstance(node, ast.ClassDef):
            yield above + node.name
            yield from _defined(node, f"{above}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield above + node.name
            if above:
                yield from (above + name for name in _attributes(node))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (above + target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.If):
            yield from _defined(node, above)


def _attributes(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _options(schema: dict[str, Any], above: str) -> Iterator[str]:
    for name, field in schema.items():
        yield above + name
        if isinstance(field, dict):
            yield from _options(field.get("properties") or {}, f"{above}{name}.")
