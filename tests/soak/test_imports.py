"""What judges the product uses nothing of it."""

from __future__ import annotations

import ast
from pathlib import Path

import buntime_soak


def test_it_imports_nothing_of_the_product() -> None:
    modules = sorted(Path(buntime_soak.__path__[0]).rglob("*.py"))
    names = {
        name
        for module in modules
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _imported(node)
    }
    assert "buntime_soak" in names
    assert {name for name in names if name.startswith("buntime")} == {"buntime_soak"}


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
    return [name.partition(".")[0] for name in named if name]
