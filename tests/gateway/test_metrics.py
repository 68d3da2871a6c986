"""What `/metrics` says of the gateway."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
from gateway.conftest import Serve, client_for
from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"
ROW = re.compile(r"^\| `(gateway_\w+)` \|([^|]*)\|", re.MULTILINE)


def measured(client: httpx2.Client) -> dict[tuple[str, str], float]:
    """The samples of the gateway, by name and the value of their label."""
    text = client.get("/metrics").text
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("gateway_")
    }


def test_what_the_guide_names_is_counted(serve: Serve) -> None:
    limit = {"requests": 3, "window": "1h", "excludePaths": ["/metrics"]}
    cache = {"ttl": "1h", "paths": "/keyval/api/keys/**"}
    with serve(stored=True, rateLimit=limit, cache=cache) as server, client_for(server) as client:
        documented = {
            (name, label)
            for name, labels in ROW.findall(PAGE.read_text("utf-8"))
            for label in re.findall(r"`(\w+)`", labels)[1:] or [""]
        }
        assert documented == measured(client).keys()
        assert set(measured(client).values()) == {0}
        client.put("/keyval/api/keys/a", json=1)
        statuses = [client.get("/keyval/api/keys/a").status_code for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        found = measured(client)
        size = found.pop(("gateway_cache_bytes", ""))
        assert size > 0
        # Of buckets it is told once in a second.
        assert found.pop(("gateway_buckets", "")) in (0, 1)
        assert found == {
            ("gateway_requests_total", "allowed"): 3,
            ("gateway_requests_total", "limited"): 2,
            ("gateway_cache_lookups_total", "hit"): 1,
            ("gateway_cache_lookups_total", "miss"): 1,
            ("gateway_cache_entries", ""): 1,
        }


def test_of_what_is_off_there_is_nothing(serve: Serve) -> None:
    with serve() as server, client_for(server) as client:
        assert measured(client) == {}
