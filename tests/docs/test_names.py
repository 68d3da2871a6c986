"""A public class has its name for itself: in a text or a traceback it means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "host/buntime_host",
    "plugins/plugin-database/buntime_plugin_database",
    "plugins/plugin-gateway/buntime_plugin_gateway",
    "plugins/plugin-keyval/buntime_plugin_keyval",
    "plugins/plugin-proxy/buntime_plugin_proxy",
    "packages/database/buntime_database",
    "packages/database-conformance/buntime_database_conformance",
    "packages/keyval/buntime_keyval",
)
ON_BOTH_SIDES = {
    "NotFound": "404, as a plugin answers it; and as a client raises it",
    "OutcomeUnknown": "of a database; and as a client raises it: that of the store is both",
    "Queue": "of messages; and what a thread of a client waits for",
    "Session": "of a database; and what a client has with a server",
    "ServiceUnavailable": "503, as a plugin answers it; and as a client raises it",
    "Store": "what keeps all keys; and a typed part of them, for who uses a client",
    "Transaction": "of a database; and of the keys, for who uses a client",
}
"""Names that two audiences know, who never meet both."""


FOR_ASYNCIO = frozenset({"Condition"})
"""What a client calls as asyncio does, since threads have the same."""


class PublicClass(NamedTuple):
    """Where a class is, and the last parts of the names of what it derives from."""

    module: str
    bases: tuple[str, ...]


def public_classes(sources: dict[str, str]) -> dict[str, list[PublicClass]]:
    """The public classes of modules by name."""
    found = defaultdict(list)
    for module, text in sources.items():
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                bases = tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases)
                found[node.name].append(PublicClass(module, bases))
    return found


def shared_names(sources: dict[str, str]) -> dict[str, list[str]]:
    """Names that several classes have, with their modules.

    One that derives from another of its name, as errors of a server do from those of its client,
    is that one. A module of `_sync` has the classes of its pattern in `_async`.
    """
    shared = {}
    for name, classes in public_classes(sources).items():
        own = {it.module.replace("/_sync/", "/_async/") for it in classes if name not in it.bases}
        if len(own) > 1:
            shared[name] = sorted(own)
    return shared


def names_of_classes(sources: dict[str, str]) -> dict[str, list[str]]:
    """Names that modules give to a type, and classes of the same package have, with the modules.

    Modules of `_sync` are as those of `_async`, but for names that begin with that.
    """
    written = {module: text for module, text in sources.items() if "/_sync/" not in module}
    classes = public_classes(written)
    found = defaultdict(list)
    for module, text in written.items():
        for node in ast.parse(text).body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or _is_variable(node.value):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = ast.unparse(target)
            package = module.partition("/buntime_")[0]
            if any(it.module.startswith(f"{package}/buntime_") for it in classes.get(name, ())):
                found[name].append(module)
    return {name: modules for name, modules in found.items() if name not in FOR_ASYNCIO}


def _is_variable(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) == "TypeVar"


def sources() -> dict[str, str]:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}


def test_no_two_public_classes_have_one_name() -> None:
    shared = shared_names(sources())
    assert {name: shared[name] for name in shared if name not in ON_BOTH_SIDES} == {}
    assert set(ON_BOTH_SIDES) == set(shared)


def test_no_type_has_the_name_of_a_class() -> None:
    assert names_of_classes(sources()) == {}


def test_what_shares_a_name_is_noticed() -> None:
    modules = {
        "a.py": "class One: ...\nclass _Two: ...\nclass Three(Exception): ...",
        "b.py": "class One(Protocol): ...\nclass _Two: ...\nclass Three(a.Three): ...",
        "p/_async/c.py": "class Four: ...",
        "p/_sync/c.py": "class Four: ...",
    }
    assert shared_names(modules) == {"One": ["a.py", "b.py"]}


def test_a_type_with_the_name_of_a_class_is_noticed() -> None:
    modules = {
        "p/buntime_p/a.py": "class One: ...\nTwo = int",
        "p/buntime_p/b.py": "One = list[int]\nTwo: TypeAlias = str",
        "q/buntime_q/c.py": "One = 1",
    }
    assert names_of_classes(modules) == {"One": ["p/buntime_p/b.py"]}
