"""The services that plugins provide for each other, by manifest name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

from buntime_host.names import known_name


class Services:
    """The services of the plugins that are up."""

    def __init__(self) -> None:
        self._by_name: dict[str, Any] = {}

    def add(self, name: str, service: Any) -> None:
        """Offer a service; None offers nothing."""
        if service is not None:
            self._by_name[name] = service

    def remove(self, name: str) -> None:
        """Withdraw the service of a plugin, if it has one."""
        self._by_name.pop(name, None)

    def get(self, name: str) -> Any:
        """The service of a plugin, also by the short form of its name, or None."""
        known = known_name(name, self._by_name)
        return self._by_name[known] if known is not None else None

    def lookup_for(
        self, plugin: str, declared: Collection[str], logger: logging.Logger
    ) -> Callable[[str], Any]:
        """The lookup for `plugin`; it warns once per name that its manifest lacks."""
        warned: set[str] = set()

        def lookup(name: str) -> Any:
            service = self.get(name)
            if service is not None and name not in warned and known_name(name, declared) is None:
                warned.add(name)
                logger.warning(
                    "%s uses %s without declaring it: add it to dependencies or"
                    " optionalDependencies of its manifest",
                    plugin,
                    name,
                )
            return service

        return lookup
