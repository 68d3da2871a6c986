"""The hooks of the greeter."""

from __future__ import annotations

from typing import Any

from buntime_host import hookimpl
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

# Relative: loaded from a folder, the package has a private name.
from .texts import greet


class Greeter:
    """Greets whoever is named in the path."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._greeting = options["greeting"]

    @hookimpl
    def routes(self) -> list[Route]:
        """The plugin's HTTP API, below its base."""
        return [Route("/api/greet/{name}", self._greet)]

    async def _greet(self, request: Request) -> JSONResponse:
        return JSONResponse({"text": greet(self._greeting, request.path_params["name"])})
