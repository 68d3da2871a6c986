"""Strong reads of a store of this process, and on the command line, where there is a replica."""

from __future__ import annotations

import pytest
from buntime_host.cli import cli
from buntime_keyval import AsyncKv, InvalidInput
from click.testing import CliRunner
from keyval.libsql._async.strong_reads import check_strong_reads
from keyval.libsql.support import open_libsql_world
from support.api import Api
from support.sampling import share_of
from support.sqld import Sqld

ROUNDS = share_of(10)


async def test_strong_reads_in_process(late_pair: list[Sqld], hosts: list[Api]) -> None:
    async with open_libsql_world(late_pair) as world:
        async with AsyncKv(hosts[0].base) as other:
            await check_strong_reads(world.kv, other, 2)
        with pytest.raises(InvalidInput, match="consistency"):
            await world.kv.get(["a"], consistency="weak")  # type: ignore[call-overload] # as said


def test_strong_reads_on_the_command_line(hosts: list[Api]) -> None:
    def run(host: Api, *arguments: str) -> str:
        result = CliRunner().invoke(cli, ["kv", *arguments, "--url", host.base])
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    one, two = hosts
    strong = ("--consistency", "strong")
    for number in range(ROUNDS):
        run(one, "set", "line/a", str(number))
        assert run(two, "get", "line/a", *strong) == str(number)
        for command in ("list", "export"):
            assert f'"value":{number}' in run(two, command, "line", "--json", *strong)
        run(one, "set", f"line/more/{number}", "0")
        assert run(two, "count", "line/more", *strong) == str(number + 1)
