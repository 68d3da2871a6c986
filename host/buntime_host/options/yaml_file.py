"""Reads YAML files, such as manifests, without trusting them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from buntime_host.errors import ManifestError

MAX_BYTES = 256 * 1024
"""Most bytes of a manifest; the largest known one has some 10 KB."""

MAX_VALUES = 20_000
MAX_DEPTH = 64
MAX_DIGITS = 400
"""Most digits of a number; YAML has forms of numbers that take quadratic time."""

_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})


def read_yaml(path: Path) -> Any:
    """Load a YAML file. Raises `ManifestError` with path, line and, if known, the remedy.

    An alias counts with all its values each time that it is used: a few lines can be billions of
    values.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ManifestError(f"{path}: has more than {MAX_BYTES} bytes")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_text("utf-8-sig"))
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _refuse_excess(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        hint = ""
        if error.problem and "start any token" in error.problem:
            hint = ' (quote names that start with @, as in name: "@scope/name")'
        raise ManifestError(f"{path}: {where}{error.problem or 'not YAML'}{hint}") from None
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: {' '.join(str(error).split())}") from None


class _ExcessError(ValueError):
    """A document is too large; the text says why."""


def _refuse_excess(root: yaml.Node) -> None:
    """Raise `_ExcessError` for a document that would take long, or much memory."""
    too_deep = f"nested in more than {MAX_DEPTH} levels"
    sizes: dict[int, int] = {}
    heights: dict[int, int] = {}
    begun: set[int] = set()

    def measure(node: yaml.Node) -> None:
        """Count the values of a node, and its depth. Raises `_ExcessError`."""
        key = id(node)
        if key in sizes:
            return
        if key in begun or len(begun) > MAX_DEPTH:
            raise _ExcessError(too_deep)
        if node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            raise _ExcessError(f"line {node.start_mark.line + 1}: a number of that length")
        begun.add(key)
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        for child in children:
            measure(child)
        begun.discard(key)
        sizes[key] = 1 + sum(sizes[id(child)] for child in children)
        heights[key] = 1 + max((heights[id(child)] for child in children), default=0)

    measure(root)
    if heights[id(root)] > MAX_DEPTH + 1:
        raise _ExcessError(too_deep)
    if sizes[id(root)] > MAX_VALUES:
        raise _ExcessError(f"stands for more than {MAX_VALUES} values, with its aliases")
