"""Which engines there are: those that are installed, and those that a caller brings."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from buntime_host import OptionError

from buntime_plugin_database.engines.planned import PLANNED
from buntime_plugin_database.shared.engine import ENTRY_POINTS, AnyEngine, Engine


class Engines:
    """The engines by name. An installed one is loaded when it is first asked for."""

    def __init__(self, *given: AnyEngine) -> None:
        """`given` are engines besides those that are installed; they come before those."""
        self._known = {engine.name: engine for engine in given}
        self._installed: dict[str, list[EntryPoint]] = {}
        for point in entry_points(group=ENTRY_POINTS):
            self._installed.setdefault(point.name, []).append(point)

    def named(self, name: str) -> AnyEngine:
        """The engine of a name. Raises `OptionError` if there is none, or no certain one."""
        if name not in self._known:
            self._known[name] = self._load(name)
        return self._known[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted({*self._known, *self._installed})

    def _load(self, name: str) -> AnyEngine:
        points = self._installed.get(name, [])
        if not points:
            if name in PLANNED:
                return PLANNED[name]
            raise OptionError(f"Unknown adapter type: {name}. There are {', '.join(self.names())}")
        if len({point.value for point in points}) > 1:
            values = " and ".join(sorted({point.value for point in points}))
            raise OptionError(f"Adapter type {name} is installed more than once: {values}")
        try:
            engine = points[0].load()
        except (ImportError, AttributeError) as error:
            raise OptionError(f"Adapter type {name} cannot be loaded: {error}") from error
        if not isinstance(engine, Engine) or engine.name != name:
            raise OptionError(f"Adapter type {name}: {points[0].value} is no engine of that name")
        return engine
