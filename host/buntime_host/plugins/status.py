"""The status of each plugin, for `/api/plugins/status` and `/health/ready`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

State = Literal["loading", "loaded", "disabled", "excluded", "failed", "stopped"]


class PluginStatus(msgspec.Struct, kw_only=True, rename="camel"):
    """The status of one plugin. The lifecycle changes it, everyone else reads it."""

    name: str
    version: str
    state: State
    reason: str | None = None
    """Why it is disabled, excluded or failed; None when all is well."""
    base: str | None = None
    source: str = ""
    path: str = ""
    """Folder of the manifest."""
    required: bool = False
    dependencies: tuple[str, ...] = ()
    optional_dependencies: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    provides: str | None = None
    """Type of the service that it provides."""
    served: bool = False
    """Whether something is mounted at its base."""
    routes: tuple[str, ...] = ()
    """Paths of its routes; empty for an ASGI application, whose routes are unknown."""
    init_ms: float | None = None
    menus: tuple[dict[str, Any], ...] = ()
