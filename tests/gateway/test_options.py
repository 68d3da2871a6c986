"""Options that mean nothing are found before anything starts."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_host import OptionError
from buntime_plugin_gateway.plugin import GatewayPlugin


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rateLimit": {"keyBy": "hedder:x"}}, "rateLimit.keyBy: must be ip"),
        ({"rateLimit": {"routes": [{"path": "re:(", "requests": 1}]}}, "rateLimit.routes"),
        ({"rateLimit": {"requests": 0}}, "rateLimit.requests"),
        ({"cors": {"origin": "*", "credentials": True}}, "cors.credentials: cannot go with"),
        ({"cors": {"origin": "app.example"}}, "cors.origin"),
        ({"cache": {"methods": ["POST"]}}, "cache.methods"),
        ({"shellExcludes": "a/b"}, "shellExcludes: 'a/b' is not the first segment"),
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(OptionError, match=reason):
        GatewayPlugin(options)


def test_what_means_something_is_taken() -> None:
    GatewayPlugin({})
    GatewayPlugin({"rateLimit": {"requests": 5, "window": "1m"}, "cors": {"origin": "*"}})
