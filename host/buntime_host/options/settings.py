"""The host's own settings, declared once: members of `buntime.jsonc` beside `plugins`.

`scripts/options` makes the root `manifest.yaml` and the table of the documents from it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from buntime_host.options.declared import Duration, Options, Size, option

MAX_URL_BYTES = 65_535
"""The largest port: URL parsers count with 16 bits."""


class BodySizes(Options, frozen=True):
    """Limits of request bodies."""

    default: Annotated[
        Size, option("Limit for plugins that do not set their own", env="RUNTIME_BODY_SIZE_DEFAULT")
    ] = Size("10mb")
    max: Annotated[
        Size, option("Largest limit that a plugin may set", env="RUNTIME_BODY_SIZE_MAX")
    ] = Size("100mb")


class ConnectionLimits(Options, frozen=True):
    """Limits of each process."""

    max_header_bytes: Annotated[
        Size,
        option(
            "Total size of a request's headers",
            doc="total size of a request's headers, names and values; the same limit holds for"
            " trailers and for chunk extensions",
            env="RUNTIME_MAX_HEADER_BYTES",
        ),
    ] = Size("64kb")
    max_headers: Annotated[
        int, option("Number of headers of a request", env="RUNTIME_MAX_HEADERS", least=1)
    ] = 100
    max_url_bytes: Annotated[
        Size,
        option("Length of a URL, with its query", "At most 65535", env="RUNTIME_MAX_URL_BYTES"),
    ] = Size(MAX_URL_BYTES)
    max_connections: Annotated[
        int,
        option(
            "Open connections",
            "At the limit, idle connections are closed to make room",
            env="RUNTIME_MAX_CONNECTIONS",
            least=1,
        ),
    ] = 10_000
    max_connections_per_client: Annotated[
        int,
        option(
            "Open connections from one address", env="RUNTIME_MAX_CONNECTIONS_PER_CLIENT", least=1
        ),
    ] = 1000
    max_upload_bytes: Annotated[
        Size,
        option(
            "Bytes of unfinished request bodies, over all clients",
            "At least bodySize.max",
            env="RUNTIME_MAX_UPLOAD_BYTES",
        ),
    ] = Size("128mb")
    max_upload_bytes_per_client: Annotated[
        Size,
        option(
            "Bytes of unfinished request bodies from one address",
            "At least bodySize.max",
            env="RUNTIME_MAX_UPLOAD_BYTES_PER_CLIENT",
        ),
    ] = Size("100mb")
    max_unsent_bytes: Annotated[
        Size,
        option(
            "Bytes of answers not yet received, over all clients", env="RUNTIME_MAX_UNSENT_BYTES"
        ),
    ] = Size("128mb")
    max_unsent_bytes_per_client: Annotated[
        Size,
        option(
            "Bytes of answers that one address has not yet received",
            env="RUNTIME_MAX_UNSENT_BYTES_PER_CLIENT",
        ),
    ] = Size("64mb")


class JwtOptions(Options, frozen=True):
    """Tokens from another issuer, which say what their bearers may do."""

    jwks_url: Annotated[
        str | None, option("URL of the issuer's key set (JWKS)", env="RUNTIME_JWT_JWKS_URL")
    ] = None
    public_key: Annotated[
        str | None, option("Public key in PEM, instead of a URL", env="RUNTIME_JWT_PUBLIC_KEY")
    ] = None
    secret: Annotated[
        str | None,
        option(
            "Shared secret of at least 32 bytes, instead of a public key",
            env="RUNTIME_JWT_SECRET",
            secret=True,
        ),
    ] = None
    algorithms: Annotated[
        tuple[str, ...],
        option("Accepted signature algorithms, such as RS256", env="RUNTIME_JWT_ALGORITHMS"),
    ] = ()
    issuer: Annotated[
        str | None, option("Required issuer (iss) of a token", env="RUNTIME_JWT_ISSUER")
    ] = None
    audience: Annotated[
        str | None, option("Required audience (aud) of a token", env="RUNTIME_JWT_AUDIENCE")
    ] = None
    claim: Annotated[
        str, option("Claim that lists the permissions, as scopes", env="RUNTIME_JWT_CLAIM")
    ] = "buntime"

    @property
    def is_configured(self) -> bool:
        """Whether tokens are accepted."""
        return any((self.jwks_url, self.public_key, self.secret, self.algorithms))


class AuthOptions(Options, frozen=True):
    """Access other than by keys, and the audit."""

    audit: Annotated[
        Literal["off", "writes", "all"],
        option("Requests that the logger audit reports", env="RUNTIME_AUDIT"),
    ] = "off"
    jwt: Annotated[JwtOptions, option("JSON Web Tokens")] = JwtOptions()


class ObserveOptions(Options, frozen=True):
    """Reports about requests. They cost nothing while they are off."""

    access_log: Annotated[
        Literal["off", "common", "json"],
        option(
            "Write a line to stdout for each request, in the Common Log Format or as JSON",
            env="RUNTIME_ACCESS_LOG",
        ),
    ] = "off"
    slow_requests: Annotated[
        Duration,
        option(
            "Log requests whose answer takes longer than this to begin",
            "0 logs none",
            env="RUNTIME_SLOW_REQUESTS",
        ),
    ] = Duration("0")
    http_metrics: Annotated[
        bool, option("Count and time requests by route, for /metrics", env="RUNTIME_HTTP_METRICS")
    ] = False
    tracing: Annotated[
        bool,
        option(
            "Continue the trace that a request names in traceparent",
            "With opentelemetry-api installed, each request is a span",
            env="RUNTIME_TRACING",
        ),
    ] = False


class TlsOptions(Options, frozen=True):
    """HTTPS without a proxy. Files are PEM, below the folder of buntime.jsonc unless absolute."""

    cert: Annotated[
        str | None, option("File with the certificate and its chain", env="RUNTIME_TLS_CERT")
    ] = None
    key: Annotated[
        str | None,
        option(
            "File with its private key",
            "Not needed if the certificate's file contains the key",
            env="RUNTIME_TLS_KEY",
        ),
    ] = None


class HostSettings(Options, frozen=True):
    """The host's own options. Times are seconds, sizes bytes."""

    host: Annotated[
        str,
        option(
            "Address to listen on",
            "Any address but loopback requires a key, or --insecure",
            env="HOST",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        option(
            "Port to listen on",
            "0 takes a free one and logs which",
            env="PORT",
            least=0,
            most=65_535,
        ),
    ] = 8000
    socket: Annotated[
        str | None,
        option(
            "Path of a Unix socket to listen on, instead of a port",
            "Relative to buntime.jsonc; write permission on the file allows connecting",
            env="RUNTIME_SOCKET",
        ),
    ] = None
    tls: Annotated[TlsOptions, option("HTTPS without a proxy")] = TlsOptions()
    workers: Annotated[
        int,
        option(
            "Number of processes that serve",
            "Each runs all plugins and takes its share of the connections",
            doc="number of processes that serve, see [several workers](growing.md#several-workers)",
            env="RUNTIME_WORKERS",
            least=1,
            most=64,
        ),
    ] = 1
    environment: Annotated[
        Literal["development", "staging", "production", "test"],
        option("Kind of installation", env=("BUNTIME_ENV", "NODE_ENV")),
    ] = "development"
    api_prefix: Annotated[
        str,
        option(
            "Prefix of the host's own API",
            'With "/_", the API is at /_/api, and /_ is reserved instead of /api',
            env="RUNTIME_API_PREFIX",
        ),
    ] = ""
    base_path: Annotated[
        str,
        option(
            "Path below which everything is served, including /health; for example /store",
            env="RUNTIME_BASE_PATH",
        ),
    ] = ""
    plugin_dirs: Annotated[
        tuple[str, ...],
        option(
            "Folders that hold plugins",
            "Relative to buntime.jsonc; entries may be lists separated by commas or colons",
            doc="folders that hold plugins; in a variable, separated by `:` or `,`",
            env=("RUNTIME_PLUGIN_DIRS", "PLUGIN_DIRS"),
        ),
    ] = ("./plugins",)
    required: Annotated[
        tuple[str, ...],
        option("Plugins without which the host must not start", env="RUNTIME_REQUIRED_PLUGINS"),
    ] = ()
    strict: Annotated[
        bool,
        option(
            "Refuse to start if a plugin does not load or is given an option it does not declare",
            env="RUNTIME_STRICT",
        ),
    ] = False
    homepage: Annotated[
        str,
        option(
            "Where / redirects to",
            "If empty, browsers see the pages and other clients the version",
            env="HOMEPAGE_APP",
        ),
    ] = ""
    body_size: Annotated[BodySizes, option("Limits of request bodies")] = BodySizes()
    trusted_origins: Annotated[
        tuple[str, ...],
        option(
            "Other origins whose pages may write and open websockets",
            'Such as "https://app.example.com"; the host\'s own origin is always allowed',
            doc="other origins whose pages may read, write and open websockets, see below",
            env="RUNTIME_TRUSTED_ORIGINS",
        ),
    ] = ()
    trusted_hosts: Annotated[
        tuple[str, ...],
        option(
            "Host names that a host without keys answers to, besides localhost",
            'Without ports; ".example.com" means all names below example.com',
            doc="host names, without ports, that a host without keys answers to besides"
            " `localhost`; `.example.com` means all names below `example.com`",
            env="RUNTIME_TRUSTED_HOSTS",
        ),
    ] = ()
    state_dir: Annotated[
        str | None,
        option(
            "Folder for the host's own files, such as keys if no database is loaded",
            "Relative to buntime.jsonc; by default .buntime in the first of pluginDirs",
            doc="folder for the host's own files, such as keys if no database is loaded; by default"
            " `.buntime` in the first of `pluginDirs`",
            env="RUNTIME_STATE_DIR",
        ),
    ] = None
    master_key: Annotated[
        str | None,
        option(
            "Key that permits everything",
            "Sent as X-API-Key or as a Bearer token. If set, every request needs a credential",
            doc="key that permits everything, see [access](access.md); keep it out of the file",
            env=(
                "RUNTIME_MASTER_KEY", "BUNTIME_MASTER_KEY", "RUNTIME_ROOT_KEY", "BUNTIME_ROOT_KEY",
            ),
            secret=True,
        ),
    ] = None  # fmt: skip
    auth: Annotated[AuthOptions, option("Access tokens from another issuer, and the audit log")] = (
        AuthOptions()
    )
    log_level: Annotated[
        Literal["debug", "info", "warn", "error"],
        option(
            "Lowest level that is logged",
            "Tracebacks of failing plugins appear at debug",
            env="RUNTIME_LOG_LEVEL",
        ),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"],
        option(
            "Format of log lines",
            "auto means text on a terminal, JSON otherwise",
            env="RUNTIME_LOG_FORMAT",
        ),
    ] = "auto"
    observe: Annotated[ObserveOptions, option("Reports about requests")] = ObserveOptions()
    init_timeout: Annotated[
        Duration, option("How long a plugin may take to initialise", env="RUNTIME_INIT_TIMEOUT")
    ] = Duration("30s")
    drain_timeout: Annotated[
        Duration,
        option(
            "How long running requests may take to finish after a stop signal",
            doc="how long running requests may take to finish after a stop signal; at most half of"
            " `shutdownTimeout`, the rest is for plugins. A client that receives nothing of its"
            " answer for 2 s is not waited for",
            env="RUNTIME_DRAIN_TIMEOUT",
        ),
    ] = Duration("5s")
    hook_timeout: Annotated[
        Duration, option("How long one plugin's on_shutdown may take", env="RUNTIME_HOOK_TIMEOUT")
    ] = Duration("10s")
    shutdown_timeout: Annotated[
        Duration, option("How long the whole shutdown may take", env="RUNTIME_SHUTDOWN_TIMEOUT")
    ] = Duration("30s")
    hung_timeout: Annotated[
        Duration,
        option(
            "How long one of several workers may hang before it is replaced",
            "0 never replaces one",
            env="RUNTIME_HUNG_TIMEOUT",
        ),
    ] = Duration("10s")
    header_timeout: Annotated[
        Duration,
        option(
            "How long the headers of a request may take to arrive",
            doc="how long the headers of a request may take to arrive, and how long a new"
            " connection may wait before its first request",
            env="RUNTIME_HEADER_TIMEOUT",
        ),
    ] = Duration("10s")
    body_timeout: Annotated[
        Duration,
        option(
            "How long a request body may pause",
            "Beyond this time, a body must average 256 bytes per second",
            env="RUNTIME_BODY_TIMEOUT",
        ),
    ] = Duration("30s")
    keep_alive_timeout: Annotated[
        Duration,
        option(
            "How long a connection may be idle between two requests",
            env="RUNTIME_KEEP_ALIVE_TIMEOUT",
        ),
    ] = Duration("60s")
    send_timeout: Annotated[
        Duration,
        option("How long a client may stop receiving an answer", env="RUNTIME_SEND_TIMEOUT"),
    ] = Duration("30s")
    trusted_proxies: Annotated[
        tuple[str, ...],
        option(
            "Addresses of proxies, such as 10.0.0.0/8",
            "The limits per address do not apply to them",
            env="RUNTIME_TRUSTED_PROXIES",
        ),
    ] = ("127.0.0.0/8", "::1")
    forwarded_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        option(
            "Header in which these proxies name the client",
            "The other one is ignored",
            env="RUNTIME_FORWARDED_HEADER",
        ),
    ] = "x-forwarded-for"
    limits: Annotated[ConnectionLimits, option("Limits of each process")] = ConnectionLimits()
