"""All that requests from outside reach, put together for a host that serves it."""

from __future__ import annotations

from typing import NamedTuple

from buntime_host import PluginContext, read_options
from starlette.routing import BaseRoute

from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.config import FaceOptions
from buntime_plugin_database.faces.hrana.streams import StreamLimits, Streams
from buntime_plugin_database.faces.routes import make_routes
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.service import Databases
from buntime_plugin_database.service.config import TenancyConfig


class Served(NamedTuple):
    """The HTTP API and Hrana."""

    routes: list[BaseRoute]
    streams: Streams


def serve(ctx: PluginContext, service: Databases, tenancy: TenancyConfig) -> Served:
    """Serve databases as the options of the plugin say. Raises `OptionError`."""
    faces = read_options(FaceOptions, ctx.config)
    api = faces.api
    limits = StreamLimits(
        api.max_streams, api.max_streams_per_client, api.idle_timeout, api.session_limits()
    )
    streams = Streams(service, limits, ctx.workers, ctx.client_of)
    for token in faces.tokens():
        ctx.add_token(token)
    access = Access(
        faces.tokens(), write=api.write, authorize=ctx.authorize, recognise=ctx.recognise
    )
    targets = Targets(tenancy, service.get_default_type)
    return Served(make_routes(service, streams, targets, access, api), streams)
