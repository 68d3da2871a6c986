"""What is in dialects alone, as the source says it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import buntime_plugin_database
import buntime_plugin_keyval
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(buntime_plugin_keyval.__file__).parent
DIALECTS = ROOT / "storage" / "dialects"
DATABASES = Path(buntime_plugin_database.__file__).parent
ENGINES = DATABASES / "engines"

NAMES = {"sqlite", "libsql", "rqlite", "postgres", "postgresql"}
CHOOSING = {
    "config.py",
    "located.py",
    "command/places.py",
    "service/engines.py",
    "service/service.py",
    "faces/families/choice.py",
}
"""Where engines are listed, a database is chosen, by the configuration or a URL, its statements are
classified, or its file is looked at for damages: all that may call an engine or its dialect by
name."""
MOST_LINES = 500

SQL = re.compile(
    r"\b(SELECT|INSERT (OR|INTO)|REPLACE INTO|UPDATE \w+|DELETE FROM|(CREATE|DROP|ALTER) [A-Z]+"
    r"|PRAGMA|BEGIN|COMMIT|ROLLBACK|FROM|WHERE|VALUES|ORDER BY|LIMIT|IS (NOT )?NULL|EXISTS|TRUE"
    r"|FALSE)\b"
    r"|\b(json_\w+|coalesce|octet_length|iif|group_concat|kv_[a-z]+|\w+ [<>=]+ \?)"
)
"""What a text of SQL, or a part of one, has at least one of."""

NO_SQL = {"kv_fts_", "kv_migrations", "_migrations"}
"""Names of tables that are told, not asked."""

POSITIONS = {"seq", "after_seq", "lastrowid"}


def outside() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the plugin that are in no dialect, with their names."""
    for path in sorted(ROOT.rglob("*.py")):
        if not path.is_relative_to(DIALECTS):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def of_database() -> Iterator[tuple[str, ast.Module]]:
    """The modules of the database plugin that belong to no engine, with their names."""
    for path in sorted(DATABASES.rglob("*.py")):
        if not path.is_relative_to(ENGINES):
            yield str(path.relative_to(DATABASES)), ast.parse(path.read_text("utf-8"))


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


def texts_of(module: ast.Module) -> Iterator[ast.Constant]:
    """The texts of a module that do not describe something."""
    described = {
        id(node.value)
        for node in ast.walk(module)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(module):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in described:
            assert isinstance(node, ast.Constant)
            yield node


def test_only_dialects_have_sql() -> None:
    found = [
        f"{name}: {text.value!r}"
        for name, module in outside()
        for text in texts_of(module)
        if SQL.search(str(text.value)) and str(text.value) not in NO_SQL
    ]
    assert not found


def test_nobody_asks_for_a_certain_dialect() -> None:
    asked = [
        f"{name}: {node.module}"
        for name, module in outside()
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and ".dialects.sqlite" in (node.module or "")
    ]
    assert not asked


def test_engines_are_named_where_a_database_is_chosen() -> None:
    named = {
        name
        for name, module in (*outside(), *of_database())
        for text in texts_of(module)
        if text.value in NAMES
    }
    assert named == CHOOSING


def test_a_module_of_an_engine_or_a_dialect_is_read_at_once() -> None:
    files = [path for folder in (ENGINES, DIALECTS) for path in folder.rglob("*.py")]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in files}
    assert len(files) > 50
    assert not [path for path, length in lengths.items() if length > MOST_LINES]
