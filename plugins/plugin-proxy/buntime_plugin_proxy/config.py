"""The plugin's options."""

from __future__ import annotations

from typing import Annotated, Any

from buntime_host import Duration, Options, Size, option


class ProxyConfig(Options, frozen=True):
    """The rules of the configuration, and limits of all rules."""

    rules: Annotated[
        tuple[dict[str, Any], ...],
        option(
            "Fixed rules",
            "They come before rules made with the API",
            doc="fixed [rules](proxy.md#rules), which come before rules made with the API",
        ),
    ] = ()
    allow_shadow: Annotated[
        tuple[str, ...],
        option(
            "Bases of plugins, and / for the first page, that rules may take over",
            doc="bases of plugins, such as `/keyval`, and `/` for the first page, that rules may"
            " take over; no rule reaches any other base",
        ),
    ] = ()
    allow_targets: Annotated[
        tuple[str, ...],
        option(
            "Targets that rules may have; if empty, any",
            'Such as "app.internal:3000", "*.example.com" or "10.1.0.0/16"',
            doc='targets that rules may have, such as `"app.internal:3000"`, `"*.example.com"`,'
            ' `"10.1.0.0/16"`; if empty, any',
        ),
    ] = ()
    deny_private: Annotated[
        bool,
        option(
            "Refuse targets on this machine or in a private network",
            doc="refuse targets on this machine or in a private network, unless `allowTargets`"
            " names the address",
        ),
    ] = False
    connect_timeout: Annotated[
        Duration, option("How long connecting to a target may take", least=1)
    ] = Duration("5s")
    read_timeout: Annotated[
        Duration,
        option(
            "How long a target may be silent before its answer is given up",
            doc="how long a target may be silent before its answer is given up; a stream of events"
            " may be silent for longer",
            least=1,
        ),
    ] = Duration("60s")
    keep_alive: Annotated[
        Duration,
        option(
            "How long an idle connection to a target is kept for the next request",
            doc="how long an idle connection to a target is kept for the next request; shorter"
            " than the 5 seconds after which many servers close it",
            least=1,
        ),
    ] = Duration("4s")
    max_connections: Annotated[
        int, option("Connections from each process to one target", least=1)
    ] = 256
    max_hops: Annotated[
        int,
        option(
            "How many of these proxies a request may pass",
            doc="how many of these proxies a request may pass; after more it is refused as a loop"
            " (508)",
            least=1,
        ),
    ] = 5
    max_html_size: Annotated[
        Size, option("Largest page that is rewritten; larger ones pass unchanged", least=1)
    ] = Size("5mb")
    max_message_size: Annotated[
        Size, option("Largest websocket message from a target", least=1)
    ] = Size("1mb")
    max_websockets: Annotated[
        int, option("Websockets that each process may have open at once", least=1)
    ] = 1000
