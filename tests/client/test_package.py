"""The package as users get it: its names, its types, its wheel."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import venv
from pathlib import Path

import buntime_keyval
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "packages" / "keyval"

NAMES = """
    ANY AccessDenied AnswerLost AnyPart PatternLike
    AsyncAtomic AsyncDelivery AsyncKv AsyncQueueListener AsyncStore AsyncTransaction
    AsyncWatch Atomic BigInt CommitResult Condition ConnectionLost Consistency DeadLetter
    DeleteResult Delivery Duration EnqueueResult Field IdempotencyKeyReused InvalidInput
    InvalidResponse
    InvalidValue Key KeyLike KeyOrKeys
    KeyPart Kv KvDetails KvEntry KvError KvMissing KvPage MutationKey NoAnswer NotFound Now
    OutcomeUnknown
    PreconditionFailed
    QueueListener QueueMessage QueueStats RateLimited RequestRejected RequestUnderWay
    Retries ScheduleInfo SearchExplained SearchHit
    SearchIndex SearchPage SearchTerm ServerFailure ServerUnreachable ServiceUnavailable
    SnapshotGone StaleLease
    StatusError Store TooLarge Transaction TransactionConflict TransactionResult VacuumResult
    Watch Where CannotOpen ClientClosed open_kv open_kv_sync Exchange PoolExhausted SearchWarning
    Tls AsyncStoreAtomic AsyncStoreTransaction AsyncStoreWatch
    StoreAtomic StoreTransaction StoreWatch
    AsyncRecords KvRecord RecordChange RecordDelete RecordDeletePrefix RecordDeleteRange
    RecordPatch RecordPut Records VersionMismatch
    AsyncGraph Degree EdgePage Graph GraphEdge GraphNode GraphPath NodeLike TraversalTooLarge
    StreamPage StreamRecord StreamTrimmed
    AsyncLock Lock LockGrant LockHeld LockInfo LockLost
    AsyncConsumer Consumer ConsumerBatch ConsumerFailing ConsumerFailure ConsumerInfo
    ConsumerLetter ConsumerLocked PositionAhead StaleConsumer
    AsyncRunner LeasedTask Runner TaskConflict TaskContext TaskDone TaskHeard TaskInfo
    TaskLimits TaskLost TaskPage
    AsyncMessageQueue MessageQueue QueuedMessage QueueInfo QueueOptions QueuePage QueueRate
""".split()  # noqa: SIM905 - easier to read

SAMPLE = """
import asyncio
from dataclasses import dataclass
from typing import TypedDict

import msgspec

from buntime_keyval import AsyncKv, AsyncTransaction, Field, Kv, KvEntry, QueueListener, Watch


class User(msgspec.Struct):
    name: str


@dataclass
class Point:
    x: int


class Settings(TypedDict):
    theme: str


def blocking(kv: Kv) -> str:
    users = kv.store(("users",), User)
    users.set(1, User("Ada"))
    user = users.get(1).value
    points: list[KvEntry[Point]] = [*kv.store(("p",), Point).list()]
    theme = kv.store(("s",), Settings).get("a").value
    assert user is not None and theme is not None
    kv.delete([["a"], ["b", 1]])
    kv.delete(["a", 1], where={"x": kv.now()})
    with kv.watch([["a", 1], ["b", 2]], print) as watch, kv.listen_queue() as messages:
        reveal_type(watch)
        reveal_type(messages)
        for message in messages:
            message.ack()
    reveal_type(kv.transaction(lambda tx: len(tx.get(["a"]).key)).value)
    reveal_type(kv.get([["a"], ["b", 1]]))
    return user.name + theme["theme"] + str(points[0].value)


async def waiting(kv: AsyncKv) -> int | None:
    async def fn(tx: AsyncTransaction) -> int:
        tx.set(["n", kv.uuidv7()], (await tx.get(["n"])).value)
        return 1

    reveal_type(await kv.get(["a", 1, True, b"x"]))
    async for entry in kv.list(["a"], where=(Field("age") > 18) & ~Field("x").contains("y")):
        print(entry.key)
    async for entry in kv.store(("users",), User).with_prefix("x", Point).list():
        reveal_type(entry.value)
    async for attempt in kv.attempts():
        async with attempt as tx:
            tx.delete(["a"])
            reveal_type(await tx.get([["a"]]))
    async for hit in kv.search(["a"], "x", highlight=("<b>", "</b>"), snippet=True):
        reveal_type(hit.highlight)
    reveal_type((await kv.paginate_search(["a"], "x")).entries[0].value)
    if (message := await kv.dequeue()) is not None:
        await kv.ack_message(message)
    await kv.atomic().check((["a"], None)).set(["a"], 1).sum(["n"], 2).commit()
    return (await kv.transaction(fn, max_retries=3)).value


async def main() -> None:
    async with AsyncKv("http://localhost:8000/keyval/api", retries=2, timeout="5s") as kv:
        await waiting(kv)


if __name__ == "__main__":
    asyncio.run(main())
"""
REVEALED = [
    "buntime_keyval._sync.watch.Watch",
    "buntime_keyval._sync.listen.QueueListener",
    "int | None",
    "list[buntime_keyval._results.KvEntry[Any]]",
    "buntime_keyval._results.KvEntry[Any]",
    "sample.Point",
    "list[buntime_keyval._results.KvEntry[Any]]",
    "dict[str, str] | None",
    "Any",
]
MISTAKES = {
    "import buntime_keyval; buntime_keyval.Kvv": "attr-defined",
    "from buntime_keyval import Kv; Kv('x').get(['a']).vlaue": "attr-defined",
    "from buntime_keyval import Kv; Kv('x').store((), int).set(1, 'x')": "arg-type",
    "from buntime_keyval import Kv; Kv('x').watch(['a'], mode='sometimes')": "arg-type",
}


def test_the_names_are_these_and_no_others() -> None:
    assert sorted(NAMES) == sorted(buntime_keyval.__all__)
    public = {name for name in dir(buntime_keyval) if not name.startswith("_")}
    assert set(NAMES) <= public
    modules = {"annotations", "cli", "embedded", "engine", "importlib", "shared", "wire"}
    modules |= {"TYPE_CHECKING", "Any"}
    assert public - modules == set(NAMES)
    for name in NAMES:
        assert getattr(buntime_keyval, name) is not None
    with pytest.raises(AttributeError):
        buntime_keyval.Kvv  # type: ignore[attr-defined]  # noqa: B018


def test_every_public_name_is_described() -> None:
    for name in set(NAMES) - {
        "Consistency",
        "Duration",
        "Key",
        "KeyLike",
        "KeyOrKeys",
        "KeyPart",
        "MutationKey",
        "NodeLike",
        "Where",
    }:
        kind = getattr(buntime_keyval, name)
        assert kind.__doc__, name
        for member, function in vars(kind).items():
            if not member.startswith("_") and callable(function):
                assert function.__doc__, f"{name}.{member}"


def test_both_clients_have_the_same_methods() -> None:
    for name in ("Kv", "Atomic", "Store", "Transaction", "Watch", "QueueListener", "Delivery"):
        blocking = _methods(getattr(buntime_keyval, name))
        waiting = _methods(getattr(buntime_keyval, f"Async{name}"))
        assert {("close" if it == "aclose" else it) for it in waiting} == blocking, name


def _methods(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_the_errors_are_drawn_as_they_are() -> None:
    errors = importlib.import_module("buntime_keyval._errors")
    drawn = set((errors.__doc__ or "").split())
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.KvError):
            assert name in drawn


def test_a_server_does_not_load_the_client() -> None:
    code = "import sys, buntime_keyval.wire; sys.exit('h11' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_client_without_a_proxy_does_not_load_httpx2() -> None:
    code = (
        "import sys\nfrom buntime_keyval import AsyncKv, Kv\n"
        "Kv('http://x').close()\nAsyncKv('http://x')\nsys.exit('httpx2' in sys.modules)"
    )
    environ = {name: it for name, it in os.environ.items() if not name.lower().endswith("_proxy")}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ)


def _mypy(folder: Path, **sources: str) -> str:
    """What it says of some modules, all at once: what these import takes it most of its time."""
    for name, source in sources.items():
        (folder / f"{name}.py").write_text(source)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-incremental",
            *(f"{it}.py" for it in sources),
        ],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_a_project_of_a_user_is_strictly_typed(tmp_path: Path) -> None:
    output = _mypy(tmp_path, sample=SAMPLE, mistakes="\n".join(MISTAKES))
    lines = [line for line in output.splitlines() if "error:" in line]
    assert not [line for line in lines if not line.startswith("mistakes.py:")], output
    revealed = [
        line.split('"')[1].replace("builtins.", "")
        for line in output.splitlines()
        if "Revealed" in line
    ]
    assert revealed == REVEALED
    for number, code in enumerate(MISTAKES.values(), 1):
        (line,) = [it for it in lines if it.startswith(f"mistakes.py:{number}:")][:1]
        assert f"[{code}]" in line


def test_the_wheel_works_alone_in_an_empty_environment(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    # The build tool is there already: nothing has to be fetched for it.
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(PACKAGE))
    (wheel,) = tmp_path.glob("buntime_keyval-*.whl")
    venv.create(tmp_path / "empty", with_pip=False)
    python = str(tmp_path / "empty" / "bin" / "python")
    run(*pip, "--python", python, "install", str(wheel))
    code = """
import importlib, pathlib, pkgutil, buntime_keyval
assert "empty" in buntime_keyval.__file__, buntime_keyval.__file__
assert (pathlib.Path(buntime_keyval.__file__).parent / "py.typed").exists()
for module in pkgutil.walk_packages(buntime_keyval.__path__, "buntime_keyval."):
    path = module.name.split(".")
    if not {"cli", "_httpx", "through_httpx", "interrupting"} & {*path}:  # these need extras
        importlib.import_module(module.name)
try:
    buntime_keyval.Kv("http://kv.example/api", proxy="http://proxy.example:3128")
except buntime_keyval.InvalidInput as error:
    print(error)
try:
    buntime_keyval.Kv("http://127.0.0.1:9/keyval/api", retries=0).get(["a"])
except buntime_keyval.ServerUnreachable as error:
    print(error)
"""
    printed = run(python, "-c", code)
    assert "pip install buntime-keyval[proxy]" in printed
    assert "could not connect" in printed
