"""SIGHUP: reads the settings again, and applies those that can change at once."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from buntime_host.access.store import KeysUnavailable
from buntime_host.config import load_config
from buntime_host.errors import StartupError
from buntime_host.host import Host
from buntime_host.observe.logs import set_level
from buntime_host.options.settings import HostSettings

AT_ONCE = frozenset(
    {
        "log_level", "limits", "header_timeout", "body_timeout", "keep_alive_timeout",
        "send_timeout", "drain_timeout", "hook_timeout", "shutdown_timeout",
    }
)  # fmt: skip
"""Settings that apply as soon as they are read: limits and timeouts for new connections."""

_NAMES = {
    **dict(zip(HostSettings.__struct_fields__, HostSettings.__struct_encode_fields__, strict=True)),
    "plugins": "plugins",
}
"""The name of each in buntime.jsonc."""

logger = logging.getLogger("App")


async def reload_settings(host: Host) -> None:
    """Read the settings again, as well as keys and the certificate. An error changes nothing.

    Settings that need a restart are named in the log.
    """
    before = host.config
    try:
        read = await asyncio.to_thread(load_config, before.path, overrides=before.overrides)
    except StartupError as error:
        logger.error("Nothing was reloaded: %s", error)  # noqa: TRY400 - no bug
        return
    changed = [name for name in _NAMES if getattr(before, name) != getattr(read, name)]
    now = {name: getattr(read, name) for name in changed if name in AT_ONCE}
    host.config = msgspec.structs.replace(before, edge_limits=read.edge_limits, **now)
    set_level(read.log_level)
    host.edge.limit(read.edge_limits)
    if host.certificate is not None:
        host.certificate.renew(always=True)
    try:
        await host.gate.refresh()
    except KeysUnavailable as error:
        logger.error("The keys were not read again: %s", error)  # noqa: TRY400 - no bug
    logger.info("Reloaded: %s", _named(set(now)) or "nothing has changed, but perhaps keys")
    if waiting := set(changed) - AT_ONCE:
        logger.warning("A restart is needed for: %s", _named(waiting))


def _named(names: set[str]) -> str:
    return ", ".join(sorted(_NAMES[name] for name in names))
