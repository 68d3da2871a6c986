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
        Size, option("Limit for a plugin that names none", env="RUNTIME_BODY_SIZE_DEFAULT")
    ] = Size("10mb")
    max: Annotated[
        Size, option("Largest limit that a plugin may have", env="RUNTIME_BODY_SIZE_MAX")
    ] = Size("100mb")


class ConnectionLimits(Options, frozen=True):
    """Limits of each process."""

    max_header_bytes: Annotated[
        Size,
        option(
            "Names and values of a request's headers",
            doc="names and values of a request's headers; the same for trailers and chunk"
            " extensions",
            env="RUNTIME_MAX_HEADER_BYTES",
        ),
    ] = Size("64kb")
    max_headers: Annotated[
        int, option("Headers of a request", env="RUNTIME_MAX_HEADERS", least=1)
    ] = 100
    max_url_bytes: Annotated[
        Size,
        option("A request's URL, with its query", "65535 at the most", env="RUNTIME_MAX_URL_BYTES"),
    ] = Size(MAX_URL_BYTES)
    max_connections: Annotated[
        int,
        option(
            "Open connections",
            "When there are so many, those on which nothing happens are closed first",
            env="RUNTIME_MAX_CONNECTIONS",
            least=1,
        ),
    ] = 10_000
    max_connections_per_client: Annotated[
        int,
        option(
            "Open connections of one address", env="RUNTIME_MAX_CONNECTIONS_PER_CLIENT", least=1
        ),
    ] = 1000
    max_upload_bytes: Annotated[
        Size,
        option(
            "Request bodies that are not complete, all together",
            "Not less than bodySize.max",
            env="RUNTIME_MAX_UPLOAD_BYTES",
        ),
    ] = Size("128mb")
    max_upload_bytes_per_client: Annotated[
        Size,
        option(
            "Request bodies of one address that are not complete",
            "Not less than bodySize.max",
            env="RUNTIME_MAX_UPLOAD_BYTES_PER_CLIENT",
        ),
    ] = Size("100mb")
    max_unsent_bytes: Annotated[
        Size,
        option("Answers that clients have not taken, all together", env="RUNTIME_MAX_UNSENT_BYTES"),
    ] = Size("128mb")
    max_unsent_bytes_per_client: Annotated[
        Size,
        option("Answers that one address has not taken", env="RUNTIME_MAX_UNSENT_BYTES_PER_CLIENT"),
    ] = Size("64mb")


class JwtOptions(Options, frozen=True):
    """Tokens of another issuer, which say what their owners may do."""

    jwks_url: Annotated[
        str | None,
        option("URL of the keys that tokens are signed with", env="RUNTIME_JWT_JWKS_URL"),
    ] = None
    public_key: Annotated[
        str | None, option("Public key in PEM, instead of a URL", env="RUNTIME_JWT_PUBLIC_KEY")
    ] = None
    secret: Annotated[
        str | None,
        option(
            "Secret of at least 32 bytes, instead of a key", env="RUNTIME_JWT_SECRET", secret=True
        ),
    ] = None
    algorithms: Annotated[
        tuple[str, ...],
        option("Algorithms of signatures, such as RS256", env="RUNTIME_JWT_ALGORITHMS"),
    ] = ()
    issuer: Annotated[
        str | None, option("Who has to have made a token", env="RUNTIME_JWT_ISSUER")
    ] = None
    audience: Annotated[
        str | None, option("Whom a token has to be for", env="RUNTIME_JWT_AUDIENCE")
    ] = None
    claim: Annotated[
        str, option("Claim with the permissions, a list of scopes", env="RUNTIME_JWT_CLAIM")
    ] = "buntime"

    @property
    def is_configured(self) -> bool:
        """Whether tokens are accepted."""
        return any((self.jwks_url, self.public_key, self.secret, self.algorithms))


class AuthOptions(Options, frozen=True):
    """Access other than by keys, and the audit."""

    audit: Annotated[
        Literal["off", "writes", "all"],
        option("Requests that the logger audit tells of", env="RUNTIME_AUDIT"),
    ] = "off"
    jwt: Annotated[JwtOptions, option("JSON Web Tokens")] = JwtOptions()


class ObserveOptions(Options, frozen=True):
    """Reports about requests. A host without them pays nothing for it."""

    access_log: Annotated[
        Literal["off", "common", "json"],
        option(
            "A line on stdout for each request, in the Common Log Format or as JSON",
            env="RUNTIME_ACCESS_LOG",
        ),
    ] = "off"
    slow_requests: Annotated[
        Duration,
        option(
            "Requests that wait longer for the beginning of their answer are logged, 0 for none",
            env="RUNTIME_SLOW_REQUESTS",
        ),
    ] = Duration("0")
    http_metrics: Annotated[
        bool,
        option("Count and time requests by route, for /metrics", env="RUNTIME_HTTP_METRICS"),
    ] = False
    tracing: Annotated[
        bool,
        option(
            "Take up the traces of requests (traceparent)",
            "With opentelemetry-api a request is a span",
            env="RUNTIME_TRACING",
        ),
    ] = False


class TlsOptions(Options, frozen=True):
    """HTTPS without a proxy. Files are PEM, below the folder of buntime.jsonc unless absolute."""

    cert: Annotated[
        str | None,
        option("Certificate with those that vouch for it", env="RUNTIME_TLS_CERT"),
    ] = None
    key: Annotated[
        str | None,
        option("Its key", "Not needed where the certificate's file has it", env="RUNTIME_TLS_KEY"),
    ] = None


class HostSettings(Options, frozen=True):
    """The host's own options. Times are seconds, sizes bytes."""

    host: Annotated[
        str,
        option(
            "Address to listen on",
            "Anything but a loopback address needs a key, or --insecure",
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
            "Relative to buntime.jsonc; who may write it may connect",
            env="RUNTIME_SOCKET",
        ),
    ] = None
    tls: Annotated[TlsOptions, option("HTTPS without a proxy")] = TlsOptions()
    workers: Annotated[
        int,
        option(
            "Processes that serve",
            "Each runs all plugins and takes its share of the connections",
            doc="processes that serve, see [several workers](growing.md#several-workers)",
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
            'With "/_" the API is at /_/api, and /_ is reserved instead of /api',
            env="RUNTIME_API_PREFIX",
        ),
    ] = ""
    base_path: Annotated[
        str,
        option(
            "Path below which everything is served, such as /store",
            "Nothing of the host is elsewhere then, /health neither",
            env="RUNTIME_BASE_PATH",
        ),
    ] = ""
    plugin_dirs: Annotated[
        tuple[str, ...],
        option(
            "Folders that hold plugins",
            "Relative to buntime.jsonc; entries may be lists separated by commas or colons",
            doc="folders with plugins; in a variable separated by `:` or `,`",
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
            "Refuse to start when any plugin does not load, or is given an option that it has not",
            env="RUNTIME_STRICT",
        ),
    ] = False
    homepage: Annotated[
        str,
        option(
            "Where / redirects to",
            "Empty shows browsers the pages, and tells others the version",
            env="HOMEPAGE_APP",
        ),
    ] = ""
    body_size: Annotated[BodySizes, option("Limits of request bodies")] = BodySizes()
    trusted_origins: Annotated[
        tuple[str, ...],
        option(
            "Other origins whose pages may write and open websockets",
            'Such as "https://app.example.com"; the host\'s own origin is always allowed',
            doc="other sites whose pages may read, write and open websockets, see below",
            env="RUNTIME_TRUSTED_ORIGINS",
        ),
    ] = ()
    trusted_hosts: Annotated[
        tuple[str, ...],
        option(
            "Names that a host without keys answers to, besides localhost",
            'Without ports; ".example.com" stands for all names below it',
            doc="names, without ports, that a host without keys answers to besides `localhost`;"
            " `.example.com` stands for all names below it",
            env="RUNTIME_TRUSTED_HOSTS",
        ),
    ] = ()
    state_dir: Annotated[
        str | None,
        option(
            "Folder for what the host keeps, such as keys where no database is loaded",
            "Relative to buntime.jsonc; by default .buntime in the first of pluginDirs",
            doc="folder for what the host keeps, such as keys where no database is loaded; default"
            " `.buntime` in the first of `pluginDirs`",
            env="RUNTIME_STATE_DIR",
        ),
    ] = None
    master_key: Annotated[
        str | None,
        option(
            "Key that permits everything",
            "Sent as X-API-Key, or as a Bearer token. With one, every request needs a credential",
            doc="key that permits everything, see [access](access.md); keep it out of the file",
            env=(
                "RUNTIME_MASTER_KEY", "BUNTIME_MASTER_KEY", "RUNTIME_ROOT_KEY", "BUNTIME_ROOT_KEY",
            ),
            secret=True,
        ),
    ] = None  # fmt: skip
    auth: Annotated[AuthOptions, option("Who gets in, besides keys, and what is remembered")] = (
        AuthOptions()
    )
    log_level: Annotated[
        Literal["debug", "info", "warn", "error"],
        option(
            "Least important level that is logged",
            "A failing plugin's traceback appears at debug",
            env="RUNTIME_LOG_LEVEL",
        ),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "text"],
        option(
            "Form of log lines",
            "auto is text on a terminal and JSON lines otherwise",
            env="RUNTIME_LOG_FORMAT",
        ),
    ] = "auto"
    observe: Annotated[ObserveOptions, option("What is told of requests")] = ObserveOptions()
    init_timeout: Annotated[
        Duration, option("How long a plugin may take to initialise", env="RUNTIME_INIT_TIMEOUT")
    ] = Duration("30s")
    drain_timeout: Annotated[
        Duration,
        option(
            "How long requests may go on after shutdown was announced",
            doc="for requests to finish after a signal; at most half of `shutdownTimeout`, so that"
            " the plugins have the other half. A client that takes nothing of its answer for 2 s is"
            " not waited for",
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
            "How long one of several workers may do nothing before it is replaced, 0 for ever",
            env="RUNTIME_HUNG_TIMEOUT",
        ),
    ] = Duration("10s")
    header_timeout: Annotated[
        Duration,
        option(
            "How long the headers of a request may take to arrive",
            doc="for the headers of a request to arrive, and for a new connection to begin one",
            env="RUNTIME_HEADER_TIMEOUT",
        ),
    ] = Duration("10s")
    body_timeout: Annotated[
        Duration,
        option(
            "How long nothing of a request body may arrive",
            "Beyond this time a body has to come with 256 bytes per second",
            env="RUNTIME_BODY_TIMEOUT",
        ),
    ] = Duration("30s")
    keep_alive_timeout: Annotated[
        Duration,
        option(
            "How long a connection may rest between two requests", env="RUNTIME_KEEP_ALIVE_TIMEOUT"
        ),
    ] = Duration("60s")
    send_timeout: Annotated[
        Duration,
        option("How long a client may take nothing of an answer", env="RUNTIME_SEND_TIMEOUT"),
    ] = Duration("30s")
    trusted_proxies: Annotated[
        tuple[str, ...],
        option(
            "Addresses that stand for many clients",
            'Such as "10.0.0.0/8"; the limits for one client do not apply to them',
            env="RUNTIME_TRUSTED_PROXIES",
        ),
    ] = ("127.0.0.0/8", "::1")
    forwarded_header: Annotated[
        Literal["x-forwarded-for", "forwarded"],
        option(
            "Header in which these tell who asks",
            "What a client says in the other one counts for nothing",
            env="RUNTIME_FORWARDED_HEADER",
        ),
    ] = "x-forwarded-for"
    limits: Annotated[ConnectionLimits, option("Limits of each process")] = ConnectionLimits()
