"""`POST /atomic` and `POST /transaction`: checks, arithmetic, lists, placeholders."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SAFE = 2**53 - 1


def big(value: int | str) -> dict[str, str]:
    return {"__type": "bigint", "value": str(value)}


@pytest.mark.parametrize("body", [{}, {"mutations": []}, {"checks": [], "mutations": None}])
def test_nothing_to_do_is_a_commit(api: Api, body: dict[str, Any]) -> None:
    first, second = (api.json("POST", "/atomic", body) for _ in range(2))
    assert first["ok"] is second["ok"] is True
    assert UUID7.fullmatch(first["versionstamp"])
    assert first["versionstamp"] < second["versionstamp"]


def test_all_mutations_share_one_versionstamp(api: Api) -> None:
    commit = api.mutate(
        {"type": "set", "key": ["a"], "value": 1}, {"type": "sum", "key": ["b"], "value": 2}
    )
    stamps = {e["versionstamp"] for e in api.json("POST", "/keys/batch", {"keys": [["a"], ["b"]]})}
    assert stamps == {commit["versionstamp"]}


def test_a_check_for_null_asks_for_a_missing_key(api: Api) -> None:
    check = {"key": ["a"], "versionstamp": None}
    body = {"checks": [check], "mutations": [{"type": "set", "key": ["a"], "value": 1}]}
    assert api.json("POST", "/atomic", body)["ok"] is True
    assert api.json("POST", "/atomic", body) == {"ok": False}


@pytest.mark.parametrize("path", ["/atomic", "/transaction"])
def test_a_check_without_versionstamp_asks_for_nothing(api: Api, path: str) -> None:
    body = {"checks": [{"key": ["a"]}], "mutations": [{"type": "set", "key": ["a"], "value": 1}]}
    answer = api.send("POST", path, body)
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "Invalid check at index 0: versionstamp is missing; null asks for a key that does not exist"
    )
    assert api.keys() == []


def test_atomic_delete_is_exact(api: Api) -> None:
    api.put("a", 1)
    api.put("a/b", 2)
    api.mutate({"type": "delete", "key": ["a"]}, {"type": "delete", "key": ["nope"]})
    assert api.keys() == [["a", "b"]]


def test_what_a_mutation_gives_to_a_key_that_it_creates_stays_with_it_alone(api: Api) -> None:
    created = {"expiresIn": "1h", "metadata": {"at": {"$now": True}}, "entryType": "Car"}
    patch = {"type": "patch", "key": ["cars", 1], "value": {"a": 1}, "onCreate": created}
    for _ in range(2):
        api.mutate(patch, {"type": "sum", "key": ["n"], "value": 1, "onCreate": created})
        for path in ("cars/1", "n"):
            entry = api.json("GET", f"/keys/{path}?details=true")
            assert entry["type"] == "Car"
            assert isinstance(entry["metadata"]["at"], int)
            assert entry["expiresAt"] == entry["createdAt"] + 3_600_000
    api.mutate({"type": "set", "key": ["cars", 1], "value": {}, "metadata": "its own"}, patch)
    entry = api.json("GET", "/keys/cars/1?details=true")
    assert (entry["metadata"], entry["expiresAt"], entry["type"]) == ("its own", None, None)
    api.mutate({"type": "delete", "key": ["cars", 1]}, patch | {"metadata": "given"})
    entry = api.json("GET", "/keys/cars/1?details=true")
    assert (entry["metadata"], entry["type"]) == ("given", "Car")


@pytest.mark.parametrize(
    ("kind", "given", "reason"),
    [
        ("set", {}, "onCreate is not allowed on a set: it is for sum, max, min,"),
        ("delete", {}, "onCreate is not allowed on a delete"),
        ("persist", {}, "onCreate is not allowed on a persist"),
        ("sum", 5, r"onCreate in mutations\[0\] must be an object with some of expiresIn,"),
        ("sum", {"ttl": 5}, r"'ttl' in mutations\[0\].onCreate \(did you mean 'expiresIn'"),
        ("sum", {"expiresIn": "soon"}, "expiresIn"),
        ("sum", {"expiresAt": "soon"}, "expiresAt"),
        ("sum", {"entryType": ""}, "entryType must be a text of 1 to 256"),
        ("sum", {"metadata": "x" * 20_000}, "metadata too large"),
    ],
)
def test_what_is_wrong_for_a_key_that_is_created_is_refused(
    api: Api, kind: str, given: Any, reason: str
) -> None:
    mutation = {"type": kind, "key": ["a"], "onCreate": given}
    if kind not in ("delete", "persist"):
        mutation["value"] = 1
    assert re.search(reason, api.error("POST", "/atomic", {"mutations": [mutation]}))


def test_weakness_04_lists_keep_the_types_of_their_elements(api: Api) -> None:
    items: list[Any] = [True, False, None, {"a": [1, {"b": []}]}, [[]], 1.5, "x", big(5)]
    api.mutate({"type": "append", "key": ["l"], "value": items})
    api.mutate({"type": "append", "key": ["l"], "value": items})
    api.mutate({"type": "prepend", "key": ["l"], "value": [0, items]})
    assert json.dumps(api.value("l")) == json.dumps([0, items, *items, *items])


@pytest.mark.parametrize("kind", ["sum", "max", "min"])
@pytest.mark.parametrize("current", ["7", "text", True, False, [1], {"a": 1}, {"__type": "x"}])
def test_weakness_05_arithmetic_refuses_what_is_no_number(
    api: Api, kind: str, current: Any
) -> None:
    stamp = api.put("c", current)
    mutations = [
        {"type": "set", "key": ["other"], "value": 1},
        {"type": kind, "key": ["c"], "value": 5},
    ]
    message = api.error("POST", "/atomic", {"mutations": mutations})
    assert message.startswith(f'{kind} requires a numeric value at key ["c"]')
    assert api.json("GET", "/keys/c") == {"key": ["c"], "value": current, "versionstamp": stamp}
    assert api.value("other") is None


@pytest.mark.parametrize("kind", ["append", "prepend"])
@pytest.mark.parametrize("current", ["[]", "text", 1, {"a": 1}, True])
def test_weakness_05_lists_refuse_what_is_no_list(api: Api, kind: str, current: Any) -> None:
    api.put("c", current)
    message = api.error(
        "POST", "/atomic", {"mutations": [{"type": kind, "key": ["c"], "value": [1]}]}
    )
    assert message.startswith(f'{kind} requires an array at key ["c"]')
    assert api.value("c") == current


@pytest.mark.parametrize(
    ("current", "operand", "result"),
    [
        (None, 5, 5),
        (1.5, 5, 6.5),
        (0.5, -1, -0.5),
        (2.5, 42.7, 44.5),
        (10, -42.7, -32),
        (SAFE, 1, big(SAFE + 1)),
        (-SAFE, -1, big(-SAFE - 1)),
        (SAFE - 1, 1, SAFE),
        (big(5), 1, big(6)),
        (1, big(1), 2),
        (1, big(2**70), big(2**70 + 1)),
        (0, "  42 ", 42),
        (0, "", 0),
        (0, "0x1F", 31),
        (0, "-7", -7),
        (0, 2**60, big(2**60)),
        (big(10**400), "-1", big(10**400 - 1)),
    ],
    ids=lambda value: str(value)[:24],
)
def test_weakness_51_sums_are_exact_whatever_their_size(
    api: Api, current: Any, operand: Any, result: Any
) -> None:
    api.put("c", current)
    assert api.mutate({"type": "sum", "key": ["c"], "value": operand})["ok"] is True
    assert json.dumps(api.value("c")) == json.dumps(result)


@pytest.mark.parametrize(
    ("kind", "current", "operand", "result"),
    [
        ("max", 5, 7, 7),
        ("max", 7, 5, 7),
        ("max", 1.5, 1, 1.5),
        ("min", 1.5, 1, 1),
        ("min", None, 3, 3),
        ("max", big(5), 3, big(5)),
        ("max", big(5), 7, big(7)),
        ("min", SAFE, big(-(2**60)), big(-(2**60))),
        ("max", -1, "0", 0),
    ],
)
def test_max_and_min(api: Api, kind: str, current: Any, operand: Any, result: Any) -> None:
    api.put("c", current)
    api.mutate({"type": kind, "key": ["c"], "value": operand})
    assert json.dumps(api.value("c")) == json.dumps(result)


@pytest.mark.parametrize("kind", ["sum", "max", "min"])
@pytest.mark.parametrize(
    ("operand", "message"),
    [
        ("12x", 'value is not a valid integer: "12x"'),
        ("1.5", 'value is not a valid integer: "1.5"'),
        (big("0x"), 'value is not a valid integer: "0x"'),
        ({"__type": "bigint"}, "value is not a valid integer: "),
        (True, "value must be a number, bigint, or numeric string, received boolean"),
        (None, "value must be a number, bigint, or numeric string, received null"),
        ([1], "value must be a number, bigint, or numeric string, received array"),
        ({"a": 1}, "value must be a number, bigint, or numeric string, received object"),
    ],
)
def test_operands_that_are_no_integer(
    shared_api: Api, kind: str, operand: Any, message: str
) -> None:
    mutation = {"type": kind, "key": ["n"], "value": operand}
    found = shared_api.error("POST", "/atomic", {"mutations": [mutation]})
    assert found.startswith(f"{kind} {message}")


@pytest.mark.parametrize(
    "operand",
    [
        big("9" * 10_001),
        "9" * 10_001,
        "-" + "9" * 400_000,
        "0x" + "f" * 300_000,
        "0b1" + "0" * 33_220,
    ],
)
def test_operands_have_at_most_ten_thousand_digits(shared_api: Api, operand: Any) -> None:
    mutation = {"type": "sum", "key": ["digits"], "value": operand}
    found = shared_api.error("POST", "/atomic", {"mutations": [mutation]})
    assert found.startswith("bigint has ")
    assert found.endswith(" digits (max 10000)")


def test_results_have_at_most_ten_thousand_digits(api: Api) -> None:
    largest = {"type": "sum", "key": ["n"], "value": big("9" * 10_000)}
    api.mutate(largest)
    for one_more in ({"type": "sum", "key": ["n"], "value": 1}, largest):
        found = api.error("POST", "/atomic", {"mutations": [one_more]})
        assert found == 'sum at key ["n"] exceeds 10000 digits'
    api.mutate({"type": "max", "key": ["n"], "value": 5})
    assert api.value("n") == big("9" * 10_000)


def test_other_refusals_in_the_words_of_the_contract(shared_api: Api) -> None:
    def refusal(**mutation: Any) -> str:
        return shared_api.error("POST", "/atomic", {"mutations": [{"key": ["n"], **mutation}]})

    assert refusal(type="sum").endswith("numeric string, received undefined")
    assert refusal(type="append", value={}) == "append value must be an array"
    assert refusal(type="prepend") == "prepend value must be an array"
    assert refusal(type="increment").startswith("Unknown mutation type: increment")
    assert refusal(type="set", value=1, expiresIn=0).startswith(
        "expiresIn must be a positive number"
    )


def test_weakness_12_a_set_needs_a_value_and_null_is_one(api: Api) -> None:
    message = api.error("POST", "/atomic", {"mutations": [{"type": "set", "key": ["v"]}]})
    assert message == "value is required in a set: any JSON value, null included"
    assert api.json("GET", "/keys") == []
    api.mutate({"type": "set", "key": ["v"], "value": None})
    (entry,) = api.json("GET", "/keys")
    assert entry["value"] is None
    assert api.json("GET", "/keys/v") == entry


@pytest.mark.parametrize("route", ["/atomic", "/transaction"])
@pytest.mark.parametrize("placeholder", [{"$uuidv7": True}, {"__type": "uuidv7"}])
def test_placeholders_become_the_versionstamp(api: Api, route: str, placeholder: Any) -> None:
    mutations = [{"type": "set", "key": ["log", placeholder, n], "value": n} for n in range(2)]
    stamp = api.json("POST", route, {"mutations": mutations})["versionstamp"]
    assert api.keys() == [["log", stamp, 0], ["log", stamp, 1]]


@pytest.mark.parametrize("route", ["/atomic", "/transaction"])
def test_placeholders_in_values_become_the_versionstamp(api: Api, route: str) -> None:
    value = {"id": {"$uuidv7": True}, "large": ["$"] * 50_000}
    mutations = [{"type": "set", "key": ["a"], "value": value}]
    stamp = api.json("POST", route, {"mutations": mutations})["versionstamp"]
    assert api.value("a") == {"id": stamp, "large": ["$"] * 50_000}


def test_a_placeholder_in_the_value_of_a_key_becomes_its_versionstamp(api: Api) -> None:
    stamp = api.put("a", {"id": {"$uuidv7": True}})
    assert api.value("a") == {"id": stamp}
    message = api.error("PUT", "/keys/a", {"$uuidv7": True, "id": 1})
    assert "may have nothing beside it" in message


@pytest.mark.parametrize("text", ["", "x" * 300_000], ids=["short", "long"])
def test_a_placeholder_is_refused_where_there_is_no_versionstamp(api: Api, text: str) -> None:
    value = {"id": {"$uuidv7": True}, "text": text}
    enqueue = {"type": "enqueue", "value": value}
    refused: list[tuple[str, str, Any]] = [
        ("POST", "/queue/enqueue", {"value": value}),
        ("POST", "/atomic", {"mutations": [enqueue]}),
        ("POST", "/tasks", {"name": "t", "payload": value}),
        ("POST", "/tasks/x/complete", {"token": "x", "result": value}),
        ("POST", "/tasks/x/heartbeat", {"token": "x", "progress": value}),
    ]
    if not text:
        written = {"type": "set", "key": ["a"], "value": 1, "metadata": value}
        refused.append(("POST", "/atomic", {"mutations": [written]}))
    for method, path, body in refused:
        assert "$uuidv7 stands for a versionstamp in keys" in api.error(method, path, body)
    for wrong in ({"$uuidv7": 1}, {"a": [{"$uuidv7": False}]}):
        assert "has to be" in api.error("PUT", "/keys/a", {"value": wrong, "text": text})
    assert api.keys() == []


def test_now_in_a_mutation_is_one_time_for_all(api: Api) -> None:
    now = {"$now": True}
    api.mutate(
        {"type": "set", "key": ["a"], "value": {"at": now, "later": {"$now": True, "offset": 5}}},
        {"type": "append", "key": ["l"], "value": [now]},
    )
    at = api.value("a")["at"]
    assert api.value("a") == {"at": at, "later": at + 5}
    assert api.value("l") == [at]


def test_a_transaction_reads_what_was_before(api: Api) -> None:
    stamp = api.put("a", 1)
    a = {"key": ["a"], "value": 1, "versionstamp": stamp}
    missing = {"key": ["b"], "value": None, "versionstamp": None}
    reads: list[Any] = [["a"], ["b"], ["a"]]
    answer = api.json("POST", "/transaction", {"reads": reads})
    assert answer == {"ok": True, "versionstamp": None, "entries": [a, missing, a]}
    body = {
        "reads": reads,
        "checks": [{"key": e["key"], "versionstamp": e["versionstamp"]} for e in (a, missing)],
        "mutations": [{"type": "sum", "key": ["a"], "value": 1}],
    }
    answer = api.json("POST", "/transaction", body)
    assert answer["entries"] == [a, missing, a]
    assert UUID7.fullmatch(answer["versionstamp"])
    assert api.value("a") == 2
    assert api.json("POST", "/transaction", body) == {"ok": False, "error": "conflict"}
    assert api.value("a") == 2


def test_a_transaction_without_reads_lists_no_entries(api: Api) -> None:
    body = {"reads": [], "mutations": [{"type": "set", "key": ["a"], "value": 1}]}
    assert set(api.json("POST", "/transaction", body)) == {"ok", "versionstamp"}
