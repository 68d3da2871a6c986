"""What is in dialects alone, as the source says it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import buntime_plugin_keyval

ROOT = Path(buntime_plugin_keyval.__file__).parent
DIALECTS = ROOT / "storage" / "dialects"

POSITIONS = {"seq", "after_seq", "lastrowid"}


def outside() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the plugin that are in no dialect, with their names."""
    for path in sorted(ROOT.rglob("*.py")):
        if not path.is_relative_to(DIALECTS):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def name_of(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_sum(node: ast.expr) -> bool:
    """Whether it counts with something that is no constant."""
    return isinstance(node, ast.BinOp) and any(map(name_of, (node.left, node.right)))


def is_counted_with(node: ast.AST) -> bool:
    """Whether it is more than a comparison of a position with another one."""
    if isinstance(node, ast.BinOp):
        return bool(POSITIONS & {name_of(node.left), name_of(node.right)})
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        has_position = POSITIONS & set(map(name_of, sides))
        return bool(has_position) and any(map(is_sum, sides))
    if isinstance(node, ast.AugAssign):
        return name_of(node.target) in POSITIONS
    return isinstance(node, ast.Attribute) and node.attr == "lastrowid"


def test_positions_of_the_log_are_compared_and_nothing_else() -> None:
    counted = [
        f"{name}: {ast.unparse(node)}"
        for name, module in outside()
        for node in ast.walk(module)
        if is_counted_with(node)
    ]
    assert not counted
