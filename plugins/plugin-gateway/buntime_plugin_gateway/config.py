"""The plugin's options."""

from __future__ import annotations

from typing import Annotated

from buntime_host import Duration, OptionError, Options, Size, option

OneOrMore = str | tuple[str, ...]


class RouteLimit(Options, frozen=True, forbid_unknown_fields=True):
    """A separate limit for some paths."""

    path: OneOrMore
    requests: int
    window: Duration = Duration("1m")
    key_by: str = "ip"


class RateLimit(Options, frozen=True, forbid_unknown_fields=True):
    """Limits of requests by one client."""

    requests: Annotated[
        int,
        option(
            "Requests that a client may make at once; as many come back in each window",
            env="GATEWAY_RATE_LIMIT_REQUESTS",
            least=1,
        ),
    ] = 100
    window: Annotated[
        Duration,
        option(
            "Time in which they all come back",
            "Here a bare number means seconds, not milliseconds as elsewhere",
            env="GATEWAY_RATE_LIMIT_WINDOW",
        ),
    ] = Duration("1m")
    key_by: Annotated[
        str,
        option(
            "What tells clients apart",
            doc="what tells clients apart: `ip`, `user`, `key`, `header:NAME` or `cookie:NAME`; a"
            " client that lacks it is counted by its address",
        ),
    ] = "ip"
    exclude_paths: Annotated[
        OneOrMore,
        option(
            "Paths without a limit",
            "Globs of whole paths; re: begins a regular expression",
            doc="[globs](gateway.md#paths) of paths without a limit",
        ),
    ] = ("/health", "/health/**", "/api/health", "/api/health/**")
    routes: Annotated[
        tuple[RouteLimit, ...],
        option(
            "Separate limits for some paths",
            "The first one with a matching path replaces the general limit",
            doc="separate limits for some paths, each with `path` (globs), `requests`, `window` and"
            " `keyBy`; the first one with a matching path replaces the general limit",
        ),
    ] = ()
    max_buckets: Annotated[
        int,
        option(
            "Clients that are remembered",
            "Beyond them, the one that has been silent longest is forgotten",
            least=1,
            most=250_000,
        ),
    ] = 100_000


class CorsConfig(Options, frozen=True, forbid_unknown_fields=True):
    """Pages of other origins that may use the host."""

    origin: Annotated[
        OneOrMore,
        option(
            "Origins whose pages may read and write",
            "* means all of them, https://*.example.com all below a name",
            env="GATEWAY_CORS_ORIGIN",
            doc="origins whose pages may read and write, as a list or separated by commas; `*`"
            " means all of them, `https://*.example.com` all below a name",
        ),
    ] = "*"
    methods: Annotated[OneOrMore, option("Methods that these pages may use")] = (
        "GET",
        "HEAD",
        "PUT",
        "PATCH",
        "POST",
        "DELETE",
    )
    allowed_headers: Annotated[
        OneOrMore,
        option(
            "Request headers that they may send; if empty, any that they ask for",
            "Headers that the host and its plugins use are always allowed",
        ),
    ] = ()
    headers: Annotated[OneOrMore, option("Older name of allowedHeaders")] = ()
    exposed_headers: Annotated[
        OneOrMore,
        option("Headers of answers that they may read, besides those of the host and its plugins"),
    ] = ()
    credentials: Annotated[
        bool,
        option(
            "Allow browsers to send the host's session cookie; never with *",
            env="GATEWAY_CORS_CREDENTIALS",
        ),
    ] = False
    max_age: Annotated[
        int, option("Seconds for which a browser may remember a preflight", least=0)
    ] = 86_400
    preflight: Annotated[
        bool, option("Answer preflights here; otherwise each plugin answers its own")
    ] = True


class CacheConfig(Options, frozen=True, forbid_unknown_fields=True):
    """Answers that are kept for a while."""

    ttl: Annotated[
        Duration,
        option("How long an answer is kept", "Its Cache-Control may shorten this", least=1),
    ] = Duration("10s")
    methods: Annotated[OneOrMore, option("Methods whose answers are kept: GET, HEAD or both")] = (
        "GET",
    )
    paths: Annotated[
        OneOrMore,
        option(
            "Paths whose answers are kept; if empty, all",
            doc="[globs](gateway.md#paths) of paths whose answers are kept; if empty, all",
        ),
    ] = ()
    exclude_paths: Annotated[
        OneOrMore,
        option(
            "Paths whose answers are not kept",
            doc="[globs](gateway.md#paths) of paths whose answers are not kept",
        ),
    ] = ()
    vary_by: Annotated[OneOrMore, option("Request headers that an answer depends on")] = ()
    max_entries: Annotated[int, option("Answers that each process keeps", least=1)] = 1_000
    max_bytes: Annotated[Size, option("Memory for the answers of each process")] = Size("16mb")


class CompressionConfig(Options, frozen=True, forbid_unknown_fields=True):
    """Compression of large JSON answers."""

    min_size: Annotated[Size, option("Smallest answer that is compressed", least=256)] = Size("8kb")
    gzip_level: Annotated[int, option("Compression level of gzip, 1 to 9", least=1, most=9)] = 4
    zstd_level: Annotated[
        int,
        option(
            "Compression level of zstd, 1 to 19",
            "Needs pip install buntime[zstd]",
            least=1,
            most=19,
        ),
    ] = 3


class GatewayConfig(Options, frozen=True):
    """The options; everything is off by default."""

    rate_limit: Annotated[RateLimit | None, option("Limits of requests per client")] = None
    cors: Annotated[CorsConfig | None, option("Pages of other origins that may use the host")] = (
        None
    )
    cache: Annotated[CacheConfig | None, option("Answers that are kept for a while")] = None
    compression: Annotated[
        CompressionConfig | None, option("Compression of large JSON answers")
    ] = None
    shell_dir: Annotated[
        str,
        option(
            "Folder of a page that answers every navigation of a browser",
            env="GATEWAY_SHELL_DIR",
            doc="folder of a [shell](gateway.md#a-shell), a page that answers every navigation of"
            " a browser",
        ),
    ] = ""
    shell_excludes: Annotated[
        OneOrMore,
        option("First path segments that the shell does not answer", env="GATEWAY_SHELL_EXCLUDES"),
    ] = ()
    log_size: Annotated[
        int, option("Newest requests that the log of each process keeps", least=1, most=5_000)
    ] = 100
    log_all: Annotated[bool, option("Log all requests, not only those that a limit refused")] = True


def listed(value: OneOrMore) -> tuple[str, ...]:
    """The texts of a list, or of one text with commas."""
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(text for part in parts if (text := part.strip()))


def window_seconds(window: Duration, option_name: str) -> float:
    """The seconds of a window; plain numbers are seconds. Raises `OptionError`."""
    written = window.written
    is_bare = isinstance(written, int | float) or str(written).strip().isdigit()
    seconds = float(str(written)) if is_bare else float(window)
    if seconds <= 0:
        raise OptionError(f"{option_name}: must be longer than no time, received {written!r}")
    return seconds
