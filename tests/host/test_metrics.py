"""`/metrics` of the host: what all plugins measure, in one text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

GAUGE = "GaugeMetricFamily({name!r}, 'help', value={value})"
GOOD = "from prometheus_client.core import *\n@hookimpl\nasync def metrics():\n    return [{}]"
UP = "buntime_plugin_metrics_gathered"
OWN = (
    "buntime_refused",
    "buntime_connections",
    "buntime_upload_bytes",
    "buntime_unsent_bytes",
    "buntime_log_lines_dropped",
)
"""Of the host itself."""


def values(text: str) -> dict[str, float]:
    """Values by name and, where there is one, plugin."""
    return {
        f"{sample.name}{sample.labels.get('plugin', '')}": sample.value
        for family in text_string_to_metric_families(text)
        if family.name not in OWN and not family.name.startswith("process_")
        for sample in family.samples
    }


def good(name: str, value: int = 1) -> str:
    return GOOD.format(GAUGE.format(name=name, value=value))


async def test_several_plugins(add_plugin: AddPlugin, make_host: MakeHost, call: Call) -> None:
    add_plugin("a", good("a_things", 1))
    add_plugin("b", good("b_things", 2).replace("async ", ""))
    add_plugin("silent")
    async with make_host() as host:
        answer = await call(host, path="/metrics")
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert values(answer.body.decode()) == {
            "a_things": 1,
            "b_things": 2,
            f"{UP}a": 1,
            f"{UP}b": 1,
        }


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("@hookimpl\ndef metrics():\n    1/0", "metrics failed: ZeroDivisionError"),
        ("@hookimpl\ndef metrics():\n    return [1]", "metrics are not valid: AttributeError"),
        ("@hookimpl\ndef metrics():\n    return None", "metrics are not valid: TypeError"),
        (
            good("x").replace("async ", "").replace("return [", "yield from [1/0, "),
            "metrics are not valid: ",
        ),
        (good("x").replace("return [", "return [GaugeMetricFamily('y', 'h', value='z'), "), ""),
        (good("a_things"), "a_things is a metric of a already"),
        (
            good("n_total").replace("[", "[CounterMetricFamily('n', 'h', value=1), "),
            "n_total is there twice",
        ),
    ],
)  # fmt: skip
async def test_a_failing_plugin_is_left_out(
    add_plugin: AddPlugin,
    make_host: MakeHost,
    call: Call,
    caplog: pytest.LogCaptureFixture,
    code: str,
    problem: str,
) -> None:
    add_plugin("a", good("a_things", 1))
    add_plugin("broken", code)
    add_plugin("c", good("c_things", 3))
    async with make_host() as host:
        answer = await call(host, path="/metrics")
        assert values(answer.body.decode()) == {
            "a_things": 1, "c_things": 3, f"{UP}a": 1, f"{UP}broken": 0, f"{UP}c": 1,
        }  # fmt: skip
        assert f"Plugin broken: {problem}" in caplog.text


async def test_the_master_key_protects_it(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("a", good("a_things"))
    async with make_host(RUNTIME_MASTER_KEY="secret") as host:
        refused = await call(host, path="/metrics")
        assert refused.status in (401, 403)
        assert "a_things" not in refused.body.decode()
        allowed = await call(host, path="/metrics", headers={"X-API-Key": "secret"})
        assert values(allowed.body.decode())["a_things"] == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("366", "366"),
        ("366.0", "366"),
        ("-3.0", "-3"),
        ("1234567890.0", "1234567890"),
        ("0.5", "0.5"),
        ("1e300", "1e+300"),
        ("float('inf')", "+Inf"),
        ("float('nan')", "NaN"),
    ],
)
async def test_whole_numbers_are_written_as_such(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, value: str, written: str
) -> None:
    add_plugin("a", GOOD.format(GAUGE.format(name="things", value=value)))
    async with make_host() as host:
        answer = await call(host, path="/metrics")
    lines = answer.body.decode().splitlines()
    assert f"things {written}" in lines
    assert f'{UP}{{plugin="a"}} 1' in lines
