"""A rule as it is written and stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

PublicPaths = tuple[str, ...] | dict[str, tuple[str, ...]]
"""Globs of paths, for all methods, or by method."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A rule: the paths it is for, and their target. Names are in camel case in JSON."""

    id: str
    pattern: str
    """A regular expression (RE2) to search in the path as it was sent."""
    target: str
    """A URL of the scheme http, https, ws or wss."""
    name: str | None = None
    enabled: bool = True
    order: int = 0
    """Rules of the API are ordered by this, the lowest first."""
    rewrite: str | None = None
    """The path for the target, with `$1` for the first group; None keeps the path."""
    target_path: Literal["join", "replace"] = "join"
    """Whether the path of the target's URL comes before the rewritten one, or is left out."""
    change_origin: bool = False
    """Whether `Host` and `Origin` are those of the target."""
    secure: bool = True
    """Whether the certificate of the target must be valid."""
    headers: dict[str, str] | None = None
    """Headers to set on the request, replacing present ones."""
    ws: bool = True
    """Whether websockets are forwarded."""
    base: str | None = None
    """Pages get `<base href="{base}/">`."""
    relative_paths: bool = False
    """Whether `src="/x"` and `href="/x"` of pages become `./x`."""
    public_routes: PublicPaths | None = None
    """Paths, as they were sent, that need no credential."""

    @property
    def rewrites_pages(self) -> bool:
        """Whether pages are rewritten."""
        return self.base is not None or self.relative_paths

    def to_json(self, *, readonly: bool | None = None) -> dict[str, Any]:
        """The rule as the API shows it; without `readonly` as it is stored. Members that are not
        set are left out.
        """
        told = {
            name: value for name, value in msgspec.to_builtins(self).items() if value is not None
        }
        if readonly is None:
            return told
        if readonly:
            del told["order"]  # rules of the configuration are in the order of their list
        return {**told, "readonly": readonly}


SETTABLE: Mapping[str, str] = {
    name: field
    for name, field in zip(Rule.__struct_encode_fields__, Rule.__struct_fields__, strict=True)
    if field not in ("id", "order")
}
"""Names of members that a client sets, and of their fields."""
IGNORED = frozenset({"id", "order", "readonly"})
"""Members that a client may send back unchanged."""
