"""Makes the product of this process a broken build: Python imports this module when it starts.

`SOAK_BREAK` says what is broken: a JSON object that has for each module the pairs of a text of it
and what stands there instead. A text that is not there once is an error, so that no test goes on
to prove nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

BROKEN: dict[str, list[tuple[str, str]]] = json.loads(os.environ["SOAK_BREAK"])


class BrokenLoader(SourceFileLoader):
    """Compiles the module from a source that is not quite its own, and keeps no copy."""

    def get_code(self, fullname: str) -> CodeType:
        """Never the one that is kept of the whole module."""
        source = self.get_data(self.path).decode()
        for old, new in BROKEN[fullname]:
            if source.count(old) != 1:
                os.write(2, f"{fullname} holds {source.count(old)} times: {old}\n".encode())
                os._exit(3)
            source = source.replace(old, new)
        return compile(source, self.path, "exec", dont_inherit=True)


class Breaker(MetaPathFinder):
    """Finds the broken modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As Python does, with another loader."""
        if fullname not in BROKEN:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = BrokenLoader(fullname, spec.origin)
        return spec


sys.meta_path.insert(0, Breaker())
