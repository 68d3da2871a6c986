"""Whether plugins run and are well, by their own hooks."""

from __future__ import annotations

from collections.abc import Mapping

from buntime_host.errors import PluginError
from buntime_host.plugins.hooks import Hook, run_hook
from buntime_host.plugins.status import PluginStatus

HEALTH_SECONDS = 5.0
"""How long a plugin's `health()` may take before it counts as failed."""

DIAGNOSIS_SECONDS = 3600.0
"""The same for a plugin that looks through all its data."""


async def lacking_plugins(
    statuses: Mapping[str, PluginStatus], hooks: Mapping[str, Hook]
) -> dict[str, str]:
    """The plugins that should run and do not, or are not well, with the reasons.

    `hooks` are `health()` of those that have it.
    """
    found = {}
    for status in statuses.values():
        if status.state == "disabled":
            continue
        problem: str | None = None
        if status.state != "loaded":
            problem = status.reason or status.state
        elif status.name in hooks:
            problem = await ask_health(hooks[status.name])
        if problem is not None:
            found[status.name] = problem
    return found


async def ask_health(hook: Hook) -> str | None:
    """The problem that a plugin's `health()` reports, or None."""
    try:
        answer = await run_hook(hook, what="health", timeout=HEALTH_SECONDS)
    except PluginError as error:
        return str(error)
    if answer is None or answer is True:
        return None
    return answer if isinstance(answer, str) else "unhealthy"


async def ask_diagnosis(hook: Hook) -> list[str]:
    """The problems with a plugin's data that its `diagnose()` reports."""
    try:
        return list(await run_hook(hook, what="diagnose", timeout=DIAGNOSIS_SECONDS))
    except PluginError as error:
        return [str(error)]
