"""Large bodies: what comes of them, that others are answered meanwhile, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.slow

ITEMS = 20_000
LARGE = [[1.0], {"a": 2.0}, []] * ITEMS
PLAIN = [[1], {"a": 2}, []] * ITEMS


def refusal(api: Api, method: str, path: str, body: Any, status: int = 413) -> str:
    answer = api.send(method, path, content=json.dumps(body).encode())
    assert answer.status_code == status, answer.text
    if status == 413:
        assert answer.json()["code"] == "KEYVAL_LIMIT_EXCEEDED"
    return str(answer.json()["error"])


def test_a_large_value_is_stored_in_its_canonical_form(api: Api) -> None:
    api.put("large", LARGE)
    assert api.json("GET", "/keys/large")["value"] == PLAIN
    assert ".0" not in api.send("GET", "/keys/large").text
    assert refusal(api, "PUT", "/keys/large", [*LARGE, {"__type": "bigint"}], 400).startswith(
        "bigint value must be a decimal string"
    )


def test_large_values_in_commits_and_messages(api: Api) -> None:
    now = {"$now": True}
    api.mutate(
        {"type": "set", "key": ["a"], "value": {"deep": {"list": LARGE, "now": now}}},
        {"type": "append", "key": ["b"], "value": LARGE},
        {"type": "append", "key": ["b"], "value": [7.0]},
        {"type": "prepend", "key": ["b"], "value": LARGE},
        {"type": "sum", "key": ["c"], "value": {"__type": "bigint", "value": "9" * 9_999}},
        {"type": "set", "key": ["d"], "value": 5, "metadata": {"a": 1.0}},
        {"type": "enqueue", "value": LARGE},
    )
    value = api.value("a")
    assert value["deep"]["list"] == PLAIN
    assert isinstance(value["deep"]["now"], int)
    assert api.value("b") == [*PLAIN, *PLAIN, 7]
    assert api.value("c")["value"] == "9" * 9_999
    message = api.json("GET", "/queue/poll")["message"]
    assert message["value"] == PLAIN
    api.json("POST", "/queue/ack", message)  # sent back as it came
    sent = api.json("POST", "/queue/enqueue", {"options": {"delay": 0}, "value": LARGE})
    assert api.json("GET", "/queue/poll")["message"]["id"] == sent["id"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"mutations": [{"type": "set", "key": ["a"], "value": LARGE, "vaule": 1}]}, "vaule"),
        ({"mutations": [{"type": "sum", "key": ["a"], "value": LARGE}]}, "sum value must be"),
        ({"mutations": [{"type": "append", "key": ["a"], "value": {"a": LARGE}}]}, "an array"),
        ({"mutations": [LARGE]}, "Invalid mutation at index 0: received array"),
        ({"mutations": {"a": LARGE}}, "mutations must be an array"),
        ({"checks": [{"key": ["a"], "versionstamp": LARGE}]}, "versionstamp must be a string"),
        ({"mutations": [], "check": LARGE}, "check"),
        (LARGE, "Body must be a JSON object, received array"),
    ],
)
def test_what_is_wrong_in_a_large_commit_is_named(shared_api: Api, body: Any, message: str) -> None:
    assert message in refusal(shared_api, "POST", "/atomic", body, 400)


FILLER = json.dumps(LARGE)
SET = f'{{"type":"set","key":["a"],"value":{FILLER}}}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (f'{{"mutations":[{SET}],"checks":[],"mutations":[]}}', "mutations is given twice"),
        (f'{{"mutations":[],"mutations":[{SET}]}}', "mutations is given twice"),
        (f'{{"mutations":[{SET},{{"type":"set","type":"sum"}}]}}', "type is given twice in mut"),
        (f'{{"mutations":[{{"key":["b"],{SET[1:]}]}}', "key is given twice in mutations"),
        (f'{{"mutations":[{SET[:-1]},"key":["b"]}}]}}', "key is given twice in mutations"),
        (f'{{"mutations":[{SET[:-1]},"value":1}}]}}', "value is given twice in mutations"),
        (f'{{"mutations":[{SET}],"checks":[{{"key":[],"key":[]}}]}}', "key is given twice in ch"),
    ],
)
def test_what_is_twice_in_a_large_commit(shared_api: Api, body: str, message: str) -> None:
    answer = shared_api.send("POST", "/atomic", content=body.encode())
    assert (answer.status_code, message in answer.json()["error"]) == (400, True), answer.text


def test_in_large_values_the_last_one_counts(api: Api) -> None:
    doubled = '{"a":1,"a":2}'
    body = SET.replace(FILLER, f"[{doubled},{FILLER},{doubled}]")
    answer = api.send("POST", "/atomic", content=f'{{"mutations":[{body}]}}'.encode())
    assert answer.status_code == 200, answer.text
    value = api.value("a")
    assert (value[0], value[-1]) == ({"a": 2}, {"a": 2})


def test_the_number_of_mutations_and_checks_is_limited(api: Api) -> None:
    delete = {"type": "delete", "key": ["a"]}
    check = {"key": ["a"], "versionstamp": None}
    assert api.json("POST", "/atomic", {"mutations": [delete] * 9_999, "checks": [check]})["ok"]
    for path in ("/atomic", "/transaction"):
        for body in (
            {"mutations": [delete] * 10_001},
            {"checks": [check] * 10_001},
            {"mutations": [delete] * 5_000, "checks": [check] * 5_001},
            {"mutations": [{"type": "set", "key": [1], "value": 1}] * 150_000},
        ):
            error = refusal(api, "POST", path, body)
            assert error.startswith("Too many mutations and checks: ")
            assert error.endswith("(limits.mutations is 10000)")


def test_a_body_without_values_is_limited(shared_api: Api) -> None:
    keys = [["a" * 1000, number] for number in range(1000)]
    assert len(shared_api.json("POST", "/keys/batch", {"keys": keys})) == 1000
    long = {"prefix": ["a"], "where": {"a": "x" * 3_000_000}}
    error = refusal(shared_api, "POST", "/keys/list", long)
    assert error.startswith("Body too large: ")
    assert error.endswith("(limits.requestBytes is 2097152)")
    deep: dict[str, Any] = {"prefix": [[]] * 100_000}
    assert refusal(shared_api, "POST", "/keys/list", deep, 400).startswith("Key too deep: 100000")


def test_many_items_are_appended_to_a_long_array(api: Api) -> None:
    api.put("long", ["x" * 1000] * 8_000)
    api.mutate(*({"type": "append", "key": ["long"], "value": [number]} for number in range(2_000)))
    value = api.value("long")
    assert value[8_000:] == list(range(2_000))
    more = [{"type": "append", "key": ["long"], "value": ["y" * 1000] * 100}] * 30
    error = refusal(api, "POST", "/atomic", {"mutations": more}, 400)
    assert error == 'Value too large at key ["long"] (max 10485760)'
    assert len(api.value("long")) == 10_000


def test_what_a_commit_reads_and_writes_is_limited(api: Api) -> None:
    value = "x" * 9_000_000
    for number in range(4):
        api.put(f"big/{number}", [value])
    appends = [{"type": "append", "key": ["big", number], "value": [1]} for number in range(4)]
    api.mutate(*appends[:3])
    error = refusal(api, "POST", "/atomic", {"mutations": appends})
    assert error.startswith("Values to read too large: 36")
    assert error.endswith("(limits.commitBytes is 33554432)")
    assert api.value("big", 3) == [value]


@pytest.mark.parametrize(
    "body",
    [
        {"mutations": [], "x": [[]] * 1_000_000},
        {f"x{number}": number for number in range(200_000)},
        {"checks": [{"key": [[]] * 1_000_000, "versionstamp": None}]},
        {"mutations": [{"type": "set", "key": ["a"], "value": 1, "metadata": [[]] * 1_000_000}]},
        {"mutations": [{"type": "set", "key": [1], "value": LARGE, "x": {"a": [[1]] * 700_000}}]},
    ],
)
def test_what_is_beside_values_is_limited(shared_api: Api, body: Any) -> None:
    error = refusal(shared_api, "POST", "/atomic", body)
    assert error.startswith("Body too large: more than 2097152 bytes beside its values")
    assert error.endswith("(limits.requestBytes is 2097152)")


def test_many_items_may_hold_more_than_one(api: Api) -> None:
    sets = [
        {"type": "set", "key": ["m", number], "value": 1, "metadata": ["x" * 900, number]}
        for number in range(5_000)
    ]
    assert api.json("POST", "/atomic", {"mutations": sets})["ok"]


LONG = "x" * 100_000


@pytest.mark.parametrize(
    "body",
    [
        f'{{"value":1,"value":"{LONG}"}}',
        f'{{"value":"{LONG}","value":1}}',
        f'{{"value":"{LONG}","options":{{"delay":1}},"value":"{LONG}"}}',
    ],
)
def test_what_is_twice_beside_a_long_text(shared_api: Api, body: str) -> None:
    answer = shared_api.send("POST", "/queue/enqueue", content=body.encode())
    message = "value is given twice; it may be given once"
    assert (answer.status_code, answer.json()["error"]) == (400, message)


@pytest.mark.parametrize("text", [LONG, '\\"' * 50_000, '"a":1,"a":2' * 10_000])
def test_long_texts_stay_as_they_are(api: Api, text: str) -> None:
    api.empty_queue()
    api.json("POST", "/queue/enqueue", {"value": text, "options": {"delay": 0}})
    assert api.json("GET", "/queue/dequeue")["message"]["value"] == text
    api.json("POST", "/atomic", {"mutations": [{"type": "set", "key": ["a"], "value": [text]}]})
    assert api.value("a") == [text]


@pytest.mark.parametrize("filling", ["", "x" * 300_000], ids=["short", "long"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_value_is_nested_as_deep_wherever_it_is(
    api: Api, opening: str, closing: str, filling: str
) -> None:
    """What is around it in a body is none of its levels."""

    def refused(levels: int) -> dict[str, bool]:
        inside = json.dumps(filling) + ("" if opening == "[" else ',"b":[]')
        # The deepest of a dict is the empty array beside the filling.
        count = levels if opening == "[" else levels - 1
        value = opening * count + inside + closing * count
        bodies = {
            "PUT /keys/a": value,
            "PATCH /keys/b": value,
            "POST /atomic": f'{{"mutations":[{{"type":"set","key":["c"],"value":{value}}}]}}',
            "POST /keys/set-batch": f'{{"sets":[{{"key":["d"],"value":{value}}}]}}',
            "POST /queue/enqueue": f'{{"value":{value}}}',
        }
        answers = {}
        for route, body in bodies.items():
            method, path = route.split()
            answer = api.send(method, path, content=body.encode())
            answers[route] = "nested too deep (max 256 levels)" in answer.text
            if "sets" not in body:  # each of several has an answer of its own
                assert answer.status_code == (400 if answers[route] else 200)
        return answers

    for levels in (252, 256, 257, 260, 300):
        assert set(refused(levels).values()) == {levels > 256}, levels


def test_metadata_is_nested_as_deep_as_a_value(api: Api) -> None:
    for levels, status in ((256, 200), (257, 400)):
        deep = "[" * levels + "]" * levels
        about = f'"onCreate":{{"metadata":{deep}}}'
        body = f'{{"mutations":[{{"type":"sum","key":["n"],"value":1,{about}}}]}}'
        assert api.send("POST", "/atomic", content=body.encode()).status_code == status
