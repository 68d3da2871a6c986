"""`{API}/docs`: a viewer of the OpenAPI document, with the files of an installed package.

The package is only a folder of files here; nothing of it is imported.
"""

from __future__ import annotations

import html
from importlib.util import find_spec
from pathlib import Path

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from buntime_host.described import described
from buntime_host.errors import NotFound
from buntime_host.pages.shared import make_strict

FOLDER = Path(__file__).parent / "viewer"
PACKAGE = "swagger_ui"


class ViewerMissing(NotFound):
    """The package with the viewer is not installed."""

    code = "VIEWER_NOT_INSTALLED"
    default_message = 'The viewer is not installed: pip install "buntime[docs]"'


@described(media_type="text/html")
async def viewer_page(request: Request) -> Response:
    """A viewer of the OpenAPI document, for browsers."""
    _assets()
    text = await anyio.to_thread.run_sync((FOLDER / "index.html").read_text, "utf-8")
    above = request.scope["path"].rstrip("/").rpartition("/")[0]
    base = f'<head><base href="{html.escape(above)}/">'
    response = Response(text.replace("<head>", base, 1), media_type="text/html")
    make_strict(response.headers)
    return response


async def viewer_file(request: Request) -> Response:
    """A file of the viewer."""
    name = request.scope["path"].rpartition("/")[2]
    path = FOLDER / name
    if not path.is_file():
        path = _assets() / name
        if not path.is_file():
            raise NotFound
    response = FileResponse(path)
    make_strict(response.headers)
    return response


def _assets() -> Path:
    """The folder with the files of the viewer. Raises `ViewerMissing`."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ViewerMissing
    return Path(spec.submodule_search_locations[0]) / "static"
