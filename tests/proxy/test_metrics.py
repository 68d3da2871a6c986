"""What `/metrics` says of the proxy."""

from __future__ import annotations

import httpx2
from buntime_host import Workers
from buntime_host.workers import Group
from buntime_plugin_proxy.forward.counts import ForwardCounts
from prometheus_client.parser import text_string_to_metric_families
from proxy.conftest import Serve, client_for

Numbers = dict[tuple[str, str], float]


def measured(client: httpx2.Client) -> Numbers:
    """The samples of the proxy, by name and the value of their label."""
    text = client.get("/metrics").text
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("proxy_")
    }


def test_what_became_of_requests_is_counted(serve: Serve, target: str) -> None:
    rules = [
        {"pattern": "^/nobody", "target": "http://127.0.0.1:1"},
        {"pattern": "^/secret", "target": "http://169.254.169.254"},
        {"pattern": "^/up(/.*)", "rewrite": "$1", "target": target},
    ]
    with serve(*rules) as server, client_for(server) as client:
        before = measured(client)
        assert before["proxy_rules", "configuration"] == 3
        assert before["proxy_rules", "store"] == 0
        assert {name for name, _ in before} == {
            "proxy_answers_total",
            "proxy_failures_total",
            "proxy_answers_broken_off_total",
            "proxy_websockets_total",
            "proxy_open_websockets",
            "proxy_rules",
            "proxy_connections",
        }
        for path, times in (
            ("/up/a", 5),  # the first by ASGI, others without
            ("/up/moved?to=/x", 2),
            ("/up/%2e%2e/x", 3),
            ("/nobody", 2),
            ("/secret", 1),
            ("/elsewhere", 1),  # no rule: nothing of ours
        ):
            for _ in range(times):
                client.get(path)
        client.post("/up/b", content=b"x")
        grown = {
            at: value - before.get(at, 0)
            for at, value in measured(client).items()
            if at[0].endswith("_total") and value != before.get(at, 0)
        }
        assert grown == {
            ("proxy_answers_total", "2xx"): 6,
            ("proxy_answers_total", "3xx"): 2,
            ("proxy_failures_total", "BAD_REQUEST"): 3,
            ("proxy_failures_total", "BAD_GATEWAY"): 2,
            ("proxy_failures_total", "TARGET_NOT_ALLOWED"): 1,
        }
        assert measured(client)["proxy_connections", "idle"] >= 1


def test_workers_tell_each_other_of_answers_and_go_on_from_what_was_told() -> None:
    group = Group(2)
    here, there = (ForwardCounts(Workers(number, group)) for number in range(2))
    here.answered(200)
    there.answered(200)
    there.answered(404)
    assert here.totals().answers == {"2xx": 1, "3xx": 0, "4xx": 0, "5xx": 0}
    there.tell()
    assert here.totals().answers == {"2xx": 2, "3xx": 0, "4xx": 1, "5xx": 0}
    there = ForwardCounts(Workers(1, group))  # its process was started anew
    there.answered(404)
    assert there.totals().answers == {"2xx": 2, "3xx": 0, "4xx": 2, "5xx": 0}
    group.close()
