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
            "Requests that a client has at once; so many come back in each window",
            env="GATEWAY_RATE_LIMIT_REQUESTS",
            least=1,
        ),
    ] = 100
    window: Annotated[
        Duration,
        option(
            "Time in which all of them come back",
            "A bare number is seconds here, not milliseconds as elsewhere",
            env="GATEWAY_RATE_LIMIT_WINDOW",
        ),
    ] = Duration("1m")
    key_by: Annotated[
        str,
        option(
            "What tells clients apart",
            doc="what tells clients apart: `ip`, `user`, `key`, `header:NAME` or `cookie:NAME`; who"
            " has none of it counts by address",
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
            "Limits of their own for some paths",
            "The first one whose path fits holds in the place of the general one",
            doc="limits of their own for some paths, each with `path` (globs), `requests`, `window`"
            " and `keyBy`; the first one whose path fits holds in the place of the general one",
        ),
    ] = ()
    max_buckets: Annotated[
        int,
        option(
            "Clients that are remembered",
            "The one that has asked for nothing longest is forgotten for another one",
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
            "* is all of them, https://*.example.com all below a name",
            env="GATEWAY_CORS_ORIGIN",
            doc="origins whose pages may read and write, as a list or separated by commas; `*` is"
            " all of them, `https://*.example.com` all below a name",
        ),
    ] = "*"
    methods: Annotated[OneOrMore, option("Methods that they may use")] = (
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
            "Headers that they may send; what they ask for if it is empty",
            "Those that the host and its plugins know may be sent in any case",
        ),
    ] = ()
    headers: Annotated[OneOrMore, option("The same by its older name")] = ()
    exposed_headers: Annotated[
        OneOrMore,
        option(
            "Headers of answers that they may read",
            "Besides those of the host and its plugins",
        ),
    ] = ()
    credentials: Annotated[
        bool,
        option(
            "Whether their browsers may send the host's session cookie; never with *",
            env="GATEWAY_CORS_CREDENTIALS",
        ),
    ] = False
    max_age: Annotated[int, option("Seconds that a browser remembers what it may do", least=0)] = (
        86_400
    )
    preflight: Annotated[
        bool, option("Answer preflights here; otherwise the plugins that they are for do")
    ] = True


class CacheConfig(Options, frozen=True, forbid_unknown_fields=True):
    """Answers that are kept for a while."""

    ttl: Annotated[
        Duration,
        option("Longest time that an answer is kept", "Its Cache-Control may say less", least=1),
    ] = Duration("10s")
    methods: Annotated[OneOrMore, option("Methods that are kept: GET, HEAD or both")] = ("GET",)
    paths: Annotated[
        OneOrMore,
        option(
            "Paths whose answers are kept; all if it is empty",
            doc="[globs](gateway.md#paths) of paths whose answers are kept; all if it is empty",
        ),
    ] = ()
    exclude_paths: Annotated[
        OneOrMore,
        option(
            "Paths whose answers are not kept",
            doc="[globs](gateway.md#paths) of paths whose answers are not kept",
        ),
    ] = ()
    vary_by: Annotated[OneOrMore, option("Headers of requests that an answer depends on")] = ()
    max_entries: Annotated[int, option("Answers of each process", least=1)] = 1_000
    max_bytes: Annotated[Size, option("What they take together")] = Size("16mb")


class CompressionConfig(Options, frozen=True, forbid_unknown_fields=True):
    """Compression of large JSON answers."""

    min_size: Annotated[Size, option("Smaller answers go out as they are", least=256)] = Size("8kb")
    gzip_level: Annotated[int, option("How hard gzip tries", least=1, most=9)] = 4
    zstd_level: Annotated[
        int,
        option(
            "How hard zstd tries",
            "It needs pip install buntime[zstd]",
            least=1,
            most=19,
        ),
    ] = 3


class GatewayConfig(Options, frozen=True):
    """The options; everything is off by default."""

    rate_limit: Annotated[RateLimit | None, option("How much one client may ask for")] = None
    cors: Annotated[CorsConfig | None, option("Pages of other origins that may use the host")] = (
        None
    )
    cache: Annotated[CacheConfig | None, option("Answers that are kept for a while")] = None
    compression: Annotated[
        CompressionConfig | None, option("Large JSON answers that get smaller on their way")
    ] = None
    shell_dir: Annotated[
        str,
        option(
            "Folder of a page for all documents of a browser",
            env="GATEWAY_SHELL_DIR",
            doc="folder of a [shell](gateway.md#a-shell), a page for all documents of a browser",
        ),
    ] = ""
    shell_excludes: Annotated[
        OneOrMore,
        option(
            "First segments of paths that the shell leaves to others",
            env="GATEWAY_SHELL_EXCLUDES",
        ),
    ] = ()
    log_size: Annotated[
        int,
        option("Requests that the log has", "The newest of each process", least=1, most=5_000),
    ] = 100
    log_all: Annotated[
        bool, option("Log all requests; otherwise those that a limit has refused")
    ] = True


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
