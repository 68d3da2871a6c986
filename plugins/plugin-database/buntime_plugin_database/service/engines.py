"""Which engines there are: ours, those that are installed, and those that a caller brings."""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import TYPE_CHECKING

from buntime_host import OptionError

from buntime_plugin_database.shared.engine import ENTRY_POINTS, AnyEngine, Engine

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

OURS = ("libsql", "postgres", "rqlite", "sqlite")
"""Names of the engines of this package, reserved for them."""

MISSED = frozenset({"mysql", "mariadb"})
"""Names of popular engines that do not exist, unless a package with one is installed."""


class Engines:
    """The engines by name. An installed one is loaded when it is first asked for."""

    def __init__(self, *given: AnyEngine) -> None:
        """`given` are engines besides those that are installed; they come before those."""
        self._known = {engine.name: engine for engine in given}

    def named(self, name: str) -> AnyEngine:
        """The engine with this name. Raises `OptionError` if there is none, or more than one."""
        if name not in self._known:
            self._known[name] = self._load(name)
        return self._known[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._known, *OURS, *self._installed})

    @cached_property
    def _installed(self) -> dict[str, list[EntryPoint]]:
        """Engines of other packages. Their entry points are read on the first call."""
        from importlib.metadata import entry_points

        installed: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=ENTRY_POINTS):
            installed.setdefault(point.name, []).append(point)
        return installed

    def _load(self, name: str) -> AnyEngine:
        if name in OURS:
            module = importlib.import_module(f"buntime_plugin_database.engines.{name}.engine")
            ours: AnyEngine = module.ENGINE
            return ours
        points = self._installed.get(name, [])
        if not points:
            if name in MISSED:
                raise OptionError(
                    f"The {name} adapter is not available in this version: there is no engine for"
                    " MySQL and MariaDB, use postgres or another one"
                )
            raise OptionError(f"Unknown adapter type: {name}. There are {', '.join(self.names())}")
        if len({point.value for point in points}) > 1:
            values = " and ".join(sorted({point.value for point in points}))
            raise OptionError(f"Adapter type {name} is installed more than once: {values}")
        try:
            engine = points[0].load()
        except (ImportError, AttributeError) as error:
            raise OptionError(f"Adapter type {name} cannot be loaded: {error}") from error
        if not isinstance(engine, Engine) or engine.name != name:
            raise OptionError(
                f"Adapter type {name}: {points[0].value} is not the name of an engine"
            )
        return engine
