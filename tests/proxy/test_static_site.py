"""A static site, served by nginx, at a path of the host."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from proxy.conftest import Serve
from support.live import LiveServer
from support.nginx import running_nginx
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

PAGE = '<html><head><title>site</title></head><body><a href="/two.html">2</a></body></html>'


@pytest.fixture(scope="module")
def site(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    root = tmp_path_factory.mktemp("root")
    (root / "index.html").write_text(PAGE)
    (root / "style.css").write_text("body { color: red }" * 200)
    (root / "deep").mkdir()
    (root / "deep" / "index.html").write_text("deep")
    block = (
        f"server {{ listen 127.0.0.1:PORT; root {root}; gzip on; gzip_min_length 100;"
        " gzip_types text/css; include /etc/nginx/mime.types; absolute_redirect on; }"
    )
    with running_nginx(tmp_path_factory.mktemp("nginx"), block) as port:
        rule = {
            "pattern": "^/site(/.*)?$",
            "rewrite": "$1",
            "target": f"http://127.0.0.1:{port}",
            "changeOrigin": True,
            "base": "/site",
            "relativePaths": True,
        }
        with serve(rule) as server:
            yield server


@pytest.fixture(scope="module")
def client(site: LiveServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=site.url, trust_env=False, timeout=PATIENCE) as made:
        yield made


def test_its_pages_find_their_files(client: httpx2.Client) -> None:
    for path in ("/site", "/site/", "/site/index.html"):
        answer = client.get(path)
        assert answer.text == PAGE.replace("<head>", '<head><base href="/site/">').replace(
            'href="/two', 'href="./two'
        )
        assert answer.headers["etag"].startswith("W/")
        assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("parts", ["bytes=0-9", "bytes=-5", "bytes=3-4,8-9"])
def test_a_part_of_a_page_that_is_rewritten_is_all_of_it(client: httpx2.Client, parts: str) -> None:
    whole = client.get("/site/index.html")
    answer = client.get("/site/index.html", headers={"range": parts, "if-range": "now"})
    assert (answer.status_code, answer.content) == (200, whole.content)
    answer = client.get("/site/index.html", headers={"range": parts})
    assert (answer.status_code, answer.content) == (200, whole.content)
    assert "content-range" not in answer.headers
    answer = client.request("GET", "/site/index.html", headers={"range": parts}, content=b"body")
    assert answer.content == whole.content
    assert client.get("/site/index.html").content == whole.content


def test_a_part_of_anything_else_is_one(client: httpx2.Client) -> None:
    answer = client.get("/site/style.css", headers={"range": "bytes=0-3", "accept-encoding": ""})
    assert (answer.status_code, answer.text) == (206, "body")
    assert answer.headers["content-range"].startswith("bytes 0-3/")


def test_its_redirects_lead_back_here(client: httpx2.Client) -> None:
    answer = client.get("/site/deep")
    assert (answer.status_code, answer.headers["location"]) == (301, "/site/deep/")
    assert client.get(answer.headers["location"]).text.endswith("deep")


def test_its_conditions_and_ranges_hold(client: httpx2.Client) -> None:
    answer = client.get("/site/style.css")
    etag = {"if-none-match": answer.headers["etag"]}
    assert client.get("/site/style.css", headers=etag).status_code == 304
    part = client.get("/site/style.css", headers={"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"body")
    assert client.get("/site/missing.html").status_code == 404
    assert client.post("/site/style.css", content=b"x").status_code == 405
