"""What a client makes of its options."""

from __future__ import annotations

import pytest
from buntime_keyval._http import Settings

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@pytest.mark.parametrize(
    ("url", "proxy", "verifies"),
    [
        ("http://127.0.0.1/keyval/api", None, False),
        ("https://127.0.0.1/keyval/api", None, True),
        ("http://127.0.0.1/keyval/api", "https://127.0.0.1:1", True),
    ],
)
def test_certificates_are_verified_wherever_something_is_encrypted(
    monkeypatch: pytest.MonkeyPatch, url: str, proxy: str | None, verifies: bool
) -> None:
    for name in (*PROXIES, *map(str.upper, PROXIES)):
        monkeypatch.delenv(name, raising=False)
    if proxy is not None:
        monkeypatch.setenv("http_proxy", proxy)
    settings = Settings(
        url,
        headers=None,
        token=None,
        timeout=1,
        connect_timeout=1,
        idle_timeout=1,
        retries=0,
        max_connections=None,
    )
    assert settings.verify is verifies
