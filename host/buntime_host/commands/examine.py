"""Examines the code of plugins as a start would, without a start: for `buntime check`.

Plugins are imported, made, and asked about their options and for their routes. None is initialised,
so nothing is opened; side effects of importing and making them happen here as well.
"""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from starlette import routing

from buntime_host.blame import place_of
from buntime_host.errors import HookFailed, InvalidOptions, PluginError
from buntime_host.options.declared import OptionError
from buntime_host.plugins.hooks import HookRegistry, run_hook, unmarked_problems
from buntime_host.plugins.loader import make_plugin
from buntime_host.plugins.plan import Plan
from buntime_host.plugins.selection import Selected
from buntime_host.plugins.static import page_of
from buntime_host.routing.mounts import application, route_problems


class Findings(NamedTuple):
    """Findings about the code of plugins, a line each."""

    problems: list[str]
    """Reasons why a plugin would not load."""
    warnings: list[str]
    """Findings that do not prevent loading, but are probably not meant."""


def examine(plan: Plan, *, timeout: float) -> Findings:
    """Examine all plugins that would be loaded; a call of one may take `timeout` seconds."""
    findings = Findings([], [])
    hooks = HookRegistry()
    logging.disable(logging.ERROR)
    try:
        for selected in plan.order:
            if selected.problem is None:
                asyncio.run(_examine(selected, hooks, os.environ, timeout, findings))
    finally:
        logging.disable(logging.NOTSET)
    return findings


async def _examine(
    selected: Selected,
    hooks: HookRegistry,
    environ: Mapping[str, str],
    timeout: float,
    findings: Findings,
) -> None:
    name, folder = selected.manifest.name, selected.manifest.dir
    told: list[str] = []
    make = partial(make_plugin, selected, hooks.carries_hooks, told.append, environ)
    try:
        plugin = await run_hook(make, what="factory", timeout=timeout)
        hooks.register(name, plugin)
        told += unmarked_problems(hooks, plugin)
        told += await _said_of_options(hooks, selected, environ, timeout)
        routes = await _routes(hooks, name, timeout)
        application(routes, page_of(selected.manifest))
        told += route_problems(routes, selected.manifest.base)
    except PluginError as error:
        place = place_of(error, folder)
        findings.problems.append(f"{name}: {error}" + (f" ({place})" if place else ""))
    findings.warnings.extend(f"{name}: {text}" for text in told)


async def _said_of_options(
    hooks: HookRegistry, selected: Selected, environ: Mapping[str, str], timeout: float
) -> list[str]:
    """Return the plugin's own remarks on its options. Raises `InvalidOptions` if it refuses
    them.
    """
    hook = hooks.get(selected.manifest.name, "check_options")
    if hook is None:
        return []
    asked = partial(hook, options=selected.options, environ=environ)
    try:
        return list(await run_hook(asked, what="check_options", timeout=timeout))
    except HookFailed as error:
        if isinstance(error.__cause__, OptionError):
            raise InvalidOptions(str(error.__cause__)) from None
        raise


async def _routes(hooks: HookRegistry, name: str, timeout: float) -> Any:
    """The routes, as far as they are known before `on_init`."""
    hook = hooks.get(name, "routes")
    if hook is None:
        return None
    try:
        return await run_hook(hook, what="routes", timeout=timeout)
    except HookFailed as error:
        if error.__cause__ is not None and _is_of_starlette(error.__cause__):
            raise
        return None  # it may need what `on_init` opens


def _is_of_starlette(error: BaseException) -> bool:
    """Whether a route was refused, regardless of the initialisation."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and frames[-1].filename == routing.__file__
