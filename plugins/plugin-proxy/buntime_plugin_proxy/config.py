"""The plugin's options."""

from __future__ import annotations

from typing import Annotated, Any

from buntime_host import Duration, Options, Size, option


class ProxyConfig(Options, frozen=True):
    """The rules of the configuration, and limits of all rules."""

    rules: Annotated[
        tuple[dict[str, Any], ...],
        option(
            "Rules that are always there",
            "They come before those of the API",
            doc="[rules](proxy.md#rules) that are always there, before those of the API",
        ),
    ] = ()
    allow_shadow: Annotated[
        tuple[str, ...],
        option(
            "Bases of plugins, and / for the first page, that rules may take over",
            doc="bases of plugins, such as `/keyval`, and `/` for the first page, that rules may"
            " take over; others are out of reach of every rule",
        ),
    ] = ()
    allow_targets: Annotated[
        tuple[str, ...],
        option(
            "Where rules may lead; anywhere if empty",
            'Such as "app.internal:3000", "*.example.com" or "10.1.0.0/16"',
            doc='where rules may lead, such as `"app.internal:3000"`, `"*.example.com"`,'
            ' `"10.1.0.0/16"`; anywhere if it is empty',
        ),
    ] = ()
    deny_private: Annotated[
        bool,
        option(
            "Refuse targets whose address is of this machine or of a private network",
            doc="refuse targets whose address is of this machine or of a private network, unless"
            " `allowTargets` names the address",
        ),
    ] = False
    connect_timeout: Annotated[
        Duration, option("Time for a connection to a target to be made", least=1)
    ] = Duration("5s")
    read_timeout: Annotated[
        Duration,
        option(
            "Time that a target may send nothing while it is waited for",
            doc="time that a target may send nothing while it is waited for; a stream of events may"
            " be silent for longer",
            least=1,
        ),
    ] = Duration("60s")
    keep_alive: Annotated[
        Duration,
        option(
            "Time that a connection to a target is kept for the next request",
            doc="time that a connection to a target is kept for the next request; shorter than the"
            " 5 seconds after which many servers end it",
            least=1,
        ),
    ] = Duration("4s")
    max_connections: Annotated[
        int, option("Connections to one target, of each process", least=1)
    ] = 256
    max_hops: Annotated[
        int,
        option(
            "Proxies of this kind that a request may have come through",
            doc="proxies of this kind that a request may have come through; with more it is refused"
            " as a loop (508)",
            least=1,
        ),
    ] = 5
    max_html_size: Annotated[
        Size, option("Largest page that is rewritten; larger ones pass as they are", least=1)
    ] = Size("5mb")
    max_message_size: Annotated[
        Size, option("Largest message of a websocket of a target", least=1)
    ] = Size("1mb")
    max_websockets: Annotated[
        int, option("Websockets that may be open at a time, of each process", least=1)
    ] = 1000
