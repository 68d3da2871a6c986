"""What all commands share: the server, `--json`, and how failures are reported."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec

import click

from buntime_keyval import AccessDenied, InvalidInput, KvError, ServerUnreachable
from buntime_keyval.cli.output import Output, one_line, program

if TYPE_CHECKING:
    from buntime_keyval import AsyncKv, Kv

DEFAULT_URL = "http://127.0.0.1:8000/keyval/api"
URL_VARIABLES = ("BUNTIME_KV_URL", "BUNTIME_URL")
TOKEN_VARIABLES = ("BUNTIME_KV_TOKEN", "BUNTIME_TOKEN")

# A person waits: give up sooner than a program would.
_RETRIES = 2
_INTERRUPTED = 130
_NO_CREDENTIAL = 401

P = ParamSpec("P")


class ServerTarget(NamedTuple):
    """The server that the options of the group name."""

    url: str
    token: str | None

    def __repr__(self) -> str:
        """Without the token."""
        return f"ServerTarget({self.url!r})"


class CommandFailure(click.ClickException):
    """Ends the command with one line on stderr, and status 1."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self._program = program()

    def show(self, file: Any = None) -> None:
        """Print the line."""
        line = f"{self._program}: error: {one_line(self.message)}"
        click.echo(line, file=file, err=file is None)


class Mistake(CommandFailure):
    """The same for what was typed wrong: status 2."""

    exit_code = 2


class Job:
    """One run of a command: its client, made when it is needed, and its output."""

    def __init__(self, target: ServerTarget, *, as_json: bool) -> None:
        self._target = target
        self._kv: Kv | None = None
        self.out = Output(as_json=as_json)

    @property
    def kv(self) -> Kv:
        """The client."""
        if self._kv is None:
            from buntime_keyval import Kv  # brings h11, of no use to `--help`

            self._kv = Kv(self._target.url, token=self._target.token, retries=_RETRIES)
        return self._kv

    def open_async(self) -> AsyncKv:
        """A client for an event loop, which the caller closes."""
        from buntime_keyval import AsyncKv

        return AsyncKv(self._target.url, token=self._target.token)

    def close(self) -> None:
        """Close the client."""
        if self._kv is not None:
            self._kv.close()


def connected(run: Callable[Concatenate[Job, P], None]) -> Callable[..., None]:
    """Make a function that takes a `Job` the body of a command, with the options of all."""

    @click.option("--url", help=f"URL of the API; by default ${URL_VARIABLES[0]} or {DEFAULT_URL}.")
    @click.option("--token", help=f"Bearer token; by default ${TOKEN_VARIABLES[0]}.")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one document per line.")
    @functools.wraps(run)
    def command(
        url: str | None, token: str | None, as_json: bool, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        group: ServerTarget = click.get_current_context().obj
        target = ServerTarget(
            group.url if url is None else url, group.token if token is None else token
        )
        with failures_told(target.url):
            job = Job(target, as_json=as_json)
            try:
                run(job, *args, **kwargs)
                job.out.flush()
            finally:
                job.close()

    return command


@contextmanager
def failures_told(url: str) -> Iterator[None]:
    """Turn what the client raises into one line: status 1, or 2 for what was typed wrong."""
    try:
        yield
    except ServerUnreachable as error:
        raise CommandFailure(f"{error}; is a server running at {url}?") from error
    except AccessDenied as error:
        lacks = error.status == _NO_CREDENTIAL
        hint = f"; give a valid key with --token or ${TOKEN_VARIABLES[0]}" if lacks else ""
        raise CommandFailure(f"{error}{hint}") from error
    except KvError as error:
        raise CommandFailure(str(error)) from error
    except InvalidInput as error:
        raise Mistake(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(_INTERRUPTED) from None
    except BrokenPipeError:
        raise  # the reader has closed the pipe: click ends quietly
    except OSError as error:
        # What the network does is a KvError, and files are opened with errors of their own.
        drop_stdout()
        raise CommandFailure(f"the output cannot be written: {error.strerror}") from error


def drop_stdout() -> None:
    """Keep the end of the process from trying again to write what could not be written."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def confirm(question: str, *, yes: bool) -> None:
    """Ask at a terminal, unless the answer was given before. Raises `CommandFailure` for a no."""
    if yes or not sys.stdin.isatty():
        return
    if not click.confirm(question, err=True):
        raise CommandFailure("nothing was deleted")
