"""Engines that there are not: entries are understood, and refused when they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, Self

from buntime_host import OptionError

from buntime_plugin_database.shared.engine import (
    AnyEngine,
    Completed,
    Engine,
    EngineOptions,
    Opening,
    RootDatabase,
)
from buntime_plugin_database.shared.tenants import NoTenants, Tenants


class PlannedOptions(EngineOptions, frozen=True, forbid_unknown_fields=False):
    """An entry whose further options nobody knows yet."""

    url: str | None = None

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        if not self.url:
            raise OptionError(f"URL is required for {self.type} adapter")
        return super().completed(environ)


async def _open_root(options: PlannedOptions, _: Opening) -> NoReturn:
    raise OptionError(
        f"The {options.type} adapter is not available in this version{_REASONS[options.type]}"
    )


def _tenants(options: PlannedOptions, root: RootDatabase, _: Opening) -> Tenants:  # noqa: ARG001 - as every engine
    return NoTenants(f"The {options.type} adapter has no tenants")


_NO_MYSQL = ": there is no engine for MySQL and MariaDB, use postgres or another one"
_REASONS = {"mysql": _NO_MYSQL, "mariadb": _NO_MYSQL}

PLANNED: dict[str, AnyEngine] = {
    name: Engine(name, PlannedOptions, _open_root, _tenants) for name in _REASONS
}
