"""`manifest.yaml`: the description of a plugin, read without running any of its code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from buntime_host.access.public import pattern_problem
from buntime_host.blame import hint_at
from buntime_host.errors import ManifestError
from buntime_host.options.schema import OptionField, parse_schema
from buntime_host.options.units import parse_size

MANIFEST_NAMES = ("manifest.yaml", "manifest.yml")
BASE = re.compile(r"/[a-zA-Z0-9_-]+|/")
BASE_RULE = 'must be "/" or one path segment such as "/my-plugin" (letters, digits, _ and -)'
PERMISSION = re.compile(r"[a-z][a-zA-Z0-9_-]*(:[a-z][a-zA-Z0-9_-]*)*")
ENV_PREFIX = ("PUBLIC_", "VITE_")
_VERSION = re.compile(r"v?\d+(\.\d+)*([-+._]?[A-Za-z0-9]+)*")
_MISSPELLED = 0.85
"""How alike names are when one is suggested for the other."""
METHODS = ("ALL", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "WEBSOCKET")

HOST_FIELDS = frozenset(
    {
        "name", "version", "description", "author", "license", "base", "enabled", "pluginEntry",
        "entrypoint", "dependencies", "optionalDependencies", "publicRoutes", "permissions",
        "menus", "injectBase", "strictPage", "env", "envPrefix", "timeout", "ttl", "idleTimeout",
        "maxRequests", "lowMemory", "autoInstall", "maxBodySize", "visibility", "config",
        "onRequestFailOpen", "onlyIfListed", "unconfigured",
    }
)  # fmt: skip
"""Keys with a meaning for the host; every other key of a manifest is an option of the plugin."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest, checked. Paths are relative to `dir`."""

    name: str
    path: Path
    version: str = "0.0.0"
    description: str = ""
    base: str | None = None
    enabled: bool = True
    plugin_entry: str | None = None
    entrypoint: str | None = None
    dependencies: tuple[str, ...] = ()
    optional_dependencies: tuple[str, ...] = ()
    public_routes: Any = None
    permissions: tuple[str, ...] = ()
    """Permissions, where the plugin has no hook for them."""
    menus: tuple[Mapping[str, Any], ...] = ()
    inject_base: bool = False
    strict_page: bool = False
    """Whether its page has the policy of the pages of the host."""
    env: Mapping[str, str] = {}
    env_prefix: tuple[str, ...] = ENV_PREFIX
    max_body_size: int | None = None
    """Bytes; None is the host's default."""
    on_request_fail_open: bool = False
    only_if_listed: bool = False
    """Whether a configuration has to name it; otherwise it is also loaded where none are named."""
    schema: Mapping[str, OptionField] = {}
    options: Mapping[str, Any] = {}
    unconfigured: Mapping[str, Any] = {}
    """Options for a host without a configuration file, where those of `options` are not enough."""

    @property
    def dir(self) -> Path:
        """Folder of the manifest, which is the plugin's folder."""
        return self.path.parent


def find_manifest(folder: Path) -> Path | None:
    """The manifest within `folder`, or None."""
    return next((path for name in MANIFEST_NAMES if (path := folder / name).is_file()), None)


def read_manifest(path: Path) -> Manifest:
    """Read and check a manifest. Raises `ManifestError` that lists every bad field."""
    from buntime_host.options.yaml_file import (
        read_yaml,  # large, and of no use where plugins are given
    )

    raw = read_yaml(path)
    if not isinstance(raw, dict):
        raise ManifestError(f"{path}: must be a map with at least a name")
    return parse_manifest(raw, path)


def parse_manifest(raw: Mapping[str, Any], path: Path) -> Manifest:
    """Check the content of a manifest. Raises `ManifestError` that lists every bad field."""
    fields = _Fields(raw)
    name = fields.text("name") or ""
    if not name.strip():
        fields.bad("name", "is required, a non-empty string")
    base = fields.text("base")
    if base is not None and not BASE.fullmatch(base):
        fields.bad("base", BASE_RULE)
    manifest = Manifest(
        name=name.strip(),
        path=path,
        version=fields.version(),
        description=fields.text("description") or "",
        base=base,
        enabled=fields.flag("enabled", default=True),
        plugin_entry=fields.text("pluginEntry"),
        entrypoint=fields.text("entrypoint"),
        dependencies=fields.texts("dependencies"),
        optional_dependencies=fields.texts("optionalDependencies"),
        public_routes=fields.public_routes(),
        permissions=fields.permissions(),
        menus=fields.menus(),
        inject_base=fields.flag("injectBase", default=False),
        strict_page=fields.flag("strictPage", default=False),
        env=fields.env(),
        env_prefix=fields.texts("envPrefix", ENV_PREFIX),
        max_body_size=fields.size("maxBodySize"),
        on_request_fail_open=fields.flag("onRequestFailOpen", default=False),
        only_if_listed=fields.flag("onlyIfListed", default=False),
        schema=parse_schema(raw.get("config"), "config", fields.problems),
        options={str(key): value for key, value in raw.items() if key not in HOST_FIELDS},
        unconfigured=fields.members("unconfigured"),
    )
    if fields.problems:
        raise ManifestError(f"{path}: {'; '.join(fields.problems)}")
    return manifest


def remarks(manifest: Manifest) -> list[str]:
    """Probable mistakes, a sentence each: the plugin loads all the same."""
    found = []
    if not _VERSION.fullmatch(manifest.version):
        found.append(f'version: {manifest.version!r} is not a version such as "1.2.0"')
    for name in manifest.options:
        # A name unlike all fields is an option of the plugin, whether it declares it or not.
        hint = hint_at(name, HOST_FIELDS, least=_MISSPELLED) if name not in manifest.schema else ""
        if hint:
            found.append(f"{name}: is not a field of manifests{hint}")
    return [f"{manifest.path}: {text}" for text in found]


class _Fields:
    """Typed reads from a raw map that collect errors instead of stopping at the first."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.problems: list[str] = []

    def bad(self, key: str, rule: str) -> None:
        self.problems.append(f"{key}: {rule}")

    def text(self, key: str) -> str | None:
        value = self.raw.get(key)
        if value is None or isinstance(value, str):
            return value
        self.bad(key, "must be a string")
        return None

    def version(self) -> str:
        value = self.raw.get("version")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)  # `version: 1.0` without quotes is a number in YAML
        return self.text("version") or "0.0.0"

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.raw.get(key)
        if isinstance(value, bool):
            return value
        if value is not None:
            self.bad(key, "must be true or false")
        return default

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.raw.get(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.bad(key, "must be a list of strings")
            return default
        return tuple(value)

    def size(self, key: str) -> int | None:
        value = self.raw.get(key)
        if value is None:
            return None
        try:
            return parse_size(value)
        except ValueError as error:
            self.bad(key, str(error))
            return None

    def menus(self) -> tuple[Mapping[str, Any], ...]:
        value = self.raw.get("menus") or []
        problem = menus_problem(value)
        if problem is not None:
            self.bad("menus", problem)
            return ()
        return tuple(value)

    def env(self) -> dict[str, str]:
        value = self.raw.get("env") or {}
        if not isinstance(value, dict) or any(isinstance(v, dict | list) for v in value.values()):
            self.bad("env", "must be a map of names to plain values")
            return {}
        return {str(name): "" if text is None else str(text) for name, text in value.items()}

    def members(self, key: str) -> dict[str, Any]:
        value = self.raw.get(key) or {}
        if not isinstance(value, dict):
            self.bad(key, "must be a map")
            return {}
        return {str(name): member for name, member in value.items()}

    def permissions(self) -> tuple[str, ...]:
        names = self.texts("permissions")
        if not all(PERMISSION.fullmatch(name) for name in names):
            self.bad("permissions", "must be names such as read or queue:send")
        return names

    def public_routes(self) -> Any:
        value = self.raw.get("publicRoutes")
        problem = public_routes_problem(value)
        if problem is not None:
            self.bad("publicRoutes", problem)
            return None
        return value


def menus_problem(value: object) -> str | None:
    """Return what is wrong with a list of menu items, or None."""
    rule = "must be a list of {title, icon, path, items?, needs?}"
    if not isinstance(value, list | tuple):
        return rule
    for item in value:
        if not isinstance(item, Mapping) or not isinstance(item.get("title"), str):
            return rule
        needs = item.get("needs")
        if needs is not None and not (
            isinstance(needs, list) and all(isinstance(action, str) for action in needs)
        ):
            return f"needs of {item['title']!r} must be a list of actions such as read"
        if item.get("items") is not None and (problem := menus_problem(item["items"])):
            return problem
    return None


def public_routes_problem(value: object) -> str | None:
    """Return what is wrong with `publicRoutes`, or None."""
    lists = [value] if not isinstance(value, dict) else list(value.values())
    if isinstance(value, dict) and not set(value) <= set(METHODS):
        return f"keys must be among {', '.join(METHODS)}"
    for paths in lists:
        if paths is not None and not (
            isinstance(paths, list) and all(isinstance(path, str) for path in paths)
        ):
            return "must be a list of paths, or a map of methods to such lists"
        for path in paths or ():
            if (problem := pattern_problem(path)) is not None:
                return f"{path!r}: {problem}"
    return None
