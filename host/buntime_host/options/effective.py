"""Effective options: environment over `buntime.jsonc` over manifest over the schema's default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buntime_host.errors import InvalidOptions
from buntime_host.options.schema import Schema, check, defaults, from_environment


def deepmerge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two option maps; neither is changed.

    Maps merge key by key, everything else in `upper` replaces, and None in `upper` removes the key.
    """
    merged = dict(lower)
    for key, value in upper.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = deepmerge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def effective_options(
    schema: Schema,
    manifest: Mapping[str, Any],
    configured: Mapping[str, Any],
    environ: Mapping[str, str],
) -> dict[str, Any]:
    """Merge all sources and check the result.

    Raises `InvalidOptions` with every bad field in one line.
    """
    problems: list[str] = []
    options = deepmerge(defaults(schema), manifest)
    options = deepmerge(options, configured)
    options = deepmerge(options, from_environment(schema, environ, problems))
    check(schema, options, problems)
    if problems:
        raise InvalidOptions("; ".join(problems))
    return options
