"""Short links: `PUT /go/docs` with an address keeps it, `GET /go/docs` leads there and counts."""

from __future__ import annotations

from buntime_host import BadRequest, NotFound, PluginContext, hookimpl
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

LINKS, USES = "links", "link-uses"


class Plugin:
    """Keeps links in the store of plugin-keyval."""

    @hookimpl
    def on_init(self, ctx: PluginContext) -> None:
        """Find the store."""
        self._kv = ctx.require_plugin("@buntime/plugin-keyval")

    @hookimpl
    def routes(self) -> list[Route]:
        """Paths below /go."""
        return [
            Route("/{name}", self._follow),
            Route("/{name}", self._put, methods=["PUT"]),
            Route("/{name}/uses", self._uses),
        ]

    @described(body={"type": "string", "examples": ["https://example.com"]})
    async def _put(self, request: Request) -> Response:
        """Keep an address under a short name."""
        address = (await request.body()).decode("utf-8", "replace")
        if not address.startswith(("http://", "https://")):
            raise BadRequest("the body has to be an address, such as https://example.com")
        await self._kv.set([LINKS, request.path_params["name"]], address)
        return JSONResponse({"success": True})

    @described(status=307, media_type="")
    async def _follow(self, request: Request) -> Response:
        """Lead to the address of a name."""
        name = request.path_params["name"]
        entry = await self._kv.get([LINKS, name])
        if entry.value is None:
            raise NotFound(f"there is no link {name}")
        await self._kv.atomic().sum([USES, name], 1).commit()
        return RedirectResponse(entry.value)

    async def _uses(self, request: Request) -> Response:
        """How often a link was used."""
        uses = await self._kv.get([USES, request.path_params["name"]])
        return JSONResponse({"uses": uses.value or 0})
