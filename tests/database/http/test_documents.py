"""The pages of the API and of Hrana name every route, option and code that there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import buntime_plugin_database
import pytest
from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.config import ApiConfig
from buntime_plugin_database.faces.routes import make_routes
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.service.config import TenancyConfig
from starlette.routing import Route

ROOT = Path(__file__).parents[3]
API = (ROOT / "docs/database-api.md").read_text()
HRANA = (ROOT / "docs/hrana.md").read_text()
SOURCES = Path(buntime_plugin_database.__file__).parent
CODE = re.compile(r'(?:code = |code=|Refused\(\s*|_error\()"([A-Z_]{4,})"')


def routes() -> list[tuple[str, str]]:
    nothing: Any = None
    access = Access((), write=True, authorize=lambda _: None)
    targets = Targets(TenancyConfig(), lambda: "sqlite")
    found = make_routes(nothing, nothing, targets, access, ApiConfig())
    return [
        (method, route.path)
        for route in found
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    ]


def test_every_route_is_on_its_page() -> None:
    for method, path in routes():
        if path.startswith(("/dev/", "/api/dev/", "/v")):
            continue  # the same once more, as the page says
        name = path.removeprefix("/api/")
        named = f"`{method} {name}`" in API + HRANA or f"`{name}`" in API + HRANA
        assert named or f"`POST /database/api/{name}`" in HRANA or name == "v1", (method, path)


def test_every_option_is_on_a_page() -> None:
    for option in ApiConfig.__struct_encode_fields__:
        assert f"`{option}`" in HRANA or f"api.{option}" in API, option


@pytest.mark.parametrize("folder", ["hrana", "http", "sqlite", "."])
def test_every_code_is_on_a_page(folder: str) -> None:
    codes = {
        code for path in (SOURCES / folder).glob("*.py") for code in CODE.findall(path.read_text())
    }
    codes -= {
        "SERVER_ERROR",
        "SQLITE_ERROR",
        "CONFLICT",
        "NOT_SUPPORTED",
    }
    assert {code for code in codes if code not in API + HRANA} == set()
