"""What is there for deploying: the image, compose files, the unit of systemd."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from buntime_host.config import load_config
from buntime_host.plugins.plan import make_plan
from support.live import live_server
from support.programs import needed_program
from support.sqld import free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ENGINES = ["libsql", "postgres", "rqlite"]


def instructions(name: str) -> list[str]:
    """What a kind of instructions of the Dockerfile says."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)


def test_the_image_copies_what_is_there() -> None:
    kept = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for name in kept)
    for line in instructions("COPY"):
        *sources, _ = [part for part in line.split() if not part.startswith("--")]
        for source in sources:
            if not line.startswith("--from"):
                assert (ROOT / source).exists()
                assert source == "." or source.split("/")[0] in kept
    install, _ = instructions("RUN")
    assert os.access(ROOT / install.split()[0].removeprefix("/src/"), os.X_OK)


def test_the_image_runs_with_its_settings(tmp_path: Path) -> None:
    environ = dict(pair.split("=", 1) for pair in shlex.split(" ".join(instructions("ENV"))))
    assert environ["BUNTIME_CONFIG"] == "/etc/buntime/buntime.jsonc"
    (copied,) = (line for line in instructions("COPY") if line.endswith(environ["BUNTIME_CONFIG"]))
    config = load_config(ROOT / copied.split()[0], environ=environ)
    assert (config.host, config.environment, config.warnings) == ("0.0.0.0", "production", ())
    assert config.state_folder == Path("/data/.buntime")
    assert instructions("USER") == ["buntime"]
    assert instructions("VOLUME") == ["/data"]


@pytest.mark.parametrize("engine", ["sqlite", *ENGINES])
def test_each_configuration_is_right(engine: str) -> None:
    environ = {"DATABASE_URL": "http://server:1", "DATA_DIR": "/data"}
    config = load_config(DEPLOY / f"{engine}.jsonc", environ=environ)
    plan = make_plan(config, environ)
    assert (config.warnings, plan.warnings, plan.errors) == ((), (), ())
    options = plan.order[0].options["adapters"]
    assert [adapter["type"] for adapter in options] == [engine]
    assert "" not in options[0].values()


@pytest.mark.parametrize("engine", ENGINES)
def test_compose_files_fit_together(engine: str) -> None:
    base: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    more: dict[str, Any] = yaml.safe_load((DEPLOY / f"compose.{engine}.yaml").read_text())
    host = more["services"]["buntime"]
    source, target, mode = host["volumes"][0].split(":")
    assert (ROOT / source).exists()
    assert (host["environment"]["BUNTIME_CONFIG"], mode) == (target, "ro")
    assert set(host["depends_on"]) <= set(more["services"])
    assert re.search(rf"[/@]{engine}[:/]", host["environment"]["DATABASE_URL"])
    volume = more["services"][engine]["volumes"][0].partition(":")[0]
    assert volume in more["volumes"]
    assert base["services"]["buntime"]["ports"] == ["127.0.0.1:8000:8000"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["", *ENGINES])
def test_compose_takes_its_files(engine: str) -> None:
    """By its own schema, with what is set in the environment; no daemon is asked."""
    program = needed_program("docker-compose")
    more = ["-f", f"deploy/compose.{engine}.yaml"] if engine else []
    secrets = {"RUNTIME_MASTER_KEY": "m" * 32, "POSTGRES_PASSWORD": "of the test"}

    def read(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "-f", "compose.yaml", *more, "config"],
            cwd=ROOT,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )

    done = read(secrets)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {"buntime", *filter(None, [engine])}
    assert services["buntime"]["environment"]["RUNTIME_MASTER_KEY"] == "m" * 32
    if engine == "postgres":
        assert ":of the test@postgres/" in services["buntime"]["environment"]["DATABASE_URL"]
    without = read({**secrets, "RUNTIME_MASTER_KEY": ""})
    assert without.returncode != 0
    assert "at least 32 random characters" in without.stderr


def systemd(*arguments: str) -> str:
    program = needed_program("systemd-analyze")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stderr


def test_the_unit_of_systemd(tmp_path: Path) -> None:
    text = (DEPLOY / "buntime.service").read_text()
    unit = tmp_path / "buntime.service"
    unit.write_text(text.replace("/opt/buntime/bin/buntime", shutil.which("true") or ""))
    assert systemd("verify", str(unit)) == ""
    systemd("security", "--offline=true", "--threshold=25", str(unit))


@pytest.mark.slow
def test_the_image_knows_whether_it_is_healthy(tmp_path: Path) -> None:
    check = str(DEPLOY / "healthy")
    with live_server(tmp_path, {"plugins": []}) as server:
        port = server.url.rpartition(":")[2]
        subprocess.run([check], env={**os.environ, "PORT": port}, check=True)
    done = subprocess.run(
        [check],
        env={**os.environ, "PORT": str(free_port())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not ready: " in done.stderr
