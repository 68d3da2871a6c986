"""Everything that the host itself raises.

BuntimeError
├── StartupError             the host cannot start; its text is the one line that is printed
│   ├── ConfigError          buntime.jsonc, an environment variable or the command line is wrong
│   ├── ManifestError        the manifest of a plugin that was asked for is wrong
│   ├── UnknownPlugin        buntime.jsonc lists a plugin that cannot be found
│   ├── BaseRefused          a mount path is reserved, or two plugins want the same one
│   ├── RequiredPluginFailed a plugin that must run did not load
│   └── BindError            the address cannot be listened on
├── PluginError              one plugin cannot be loaded; the others go on
│   ├── InvalidPlugin        no entry, not a plugin, unknown hook, wrong arguments
│   ├── InvalidOptions       effective options do not fit the schema of the manifest
│   ├── HookFailed           the factory or a hook raised
│   └── HookTimeout          a hook did not finish in time and was cancelled
├── AnswerBrokenOff          what a plugin has begun to answer cannot be completed
├── MissingService           `ctx.require_plugin()` found nothing
├── KeysUnavailable          the keys cannot be read or written; see `access/store.py`
└── HttpError                becomes a JSON response; see `problem.py`
    ├── BadRequest           400 BAD_REQUEST
    ├── Unauthorized         401 AUTH_REQUIRED
    ├── Forbidden            403 FORBIDDEN
    │   └── PermissionDenied 403 PERMISSION_DENIED
    ├── NotFound             404 NOT_FOUND
    │   └── ViewerMissing    404 VIEWER_NOT_INSTALLED; see `api_docs.py`
    ├── MethodNotAllowed     405 METHOD_NOT_ALLOWED
    ├── RequestTimeout       408 REQUEST_TIMEOUT
    ├── PayloadTooLarge      413 PAYLOAD_TOO_LARGE
    ├── UnsupportedEncoding  415 UNSUPPORTED_ENCODING
    ├── UrlTooLong           414 URL_TOO_LONG
    ├── ExpectationFailed    417 EXPECTATION_FAILED
    ├── UntrustedHost        421 UNTRUSTED_HOST
    ├── UpgradeRequired      426 UPGRADE_REQUIRED
    ├── TooManyRequests      429 TOO_MANY_REQUESTS
    ├── HeadersTooLarge      431 HEADERS_TOO_LARGE
    └── ServiceUnavailable   503 SERVICE_UNAVAILABLE
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class BuntimeError(Exception):
    """Base of everything that the host raises."""


class StartupError(BuntimeError):
    """The host cannot start. The text fits on one line and says what to change."""


class ConfigError(StartupError):
    """The configuration is wrong: `buntime.jsonc`, an environment variable, the command line."""


class ManifestError(StartupError):
    """A manifest is wrong. The text starts with its path and lists every bad field."""


class UnknownPlugin(StartupError):
    """`buntime.jsonc` lists a plugin that no directory, entry point or module has."""


class BaseRefused(StartupError):
    """A mount path is reserved for the host, or two enabled plugins want the same one."""


class RequiredPluginFailed(StartupError):
    """A required plugin (or any plugin, with `strict`) did not load."""


class BindError(StartupError):
    """The address cannot be listened on: in use, not ours, or not permitted."""


class PluginError(BuntimeError):
    """One plugin cannot be loaded; the text does not repeat its name."""


class InvalidPlugin(PluginError):
    """The entry is missing or is not a plugin, or a hook is unknown or takes wrong arguments."""


class InvalidOptions(PluginError):
    """The effective options do not fit the manifest's schema; the text lists every bad field."""


class HookFailed(PluginError):
    """The factory, or a hook that runs at load time, raised. The cause is chained."""


class HookTimeout(PluginError):
    """A hook did not finish in time; its task was cancelled."""


class MissingService(BuntimeError):
    """A plugin asked for a service that no plugin provides."""


class AnswerBrokenOff(BuntimeError):
    """An answer that has begun cannot be completed: its client sees it cut off.

    A plugin that knows why raises it from an endpoint, and the text is one line of the log.
    """


class HttpError(BuntimeError):
    """An error that a client sees, with `status`, stable `code` and a message for the client.

    Plugins may raise it from any endpoint; the host answers with the JSON error body.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_SERVER_ERROR"
    default_message: ClassVar[str] = "Internal server error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.error_code = code or self.code
        self.headers = headers
        super().__init__(self.message)


class BadRequest(HttpError):
    """The request cannot be understood."""

    status = 400
    code = "BAD_REQUEST"
    default_message = "Bad request"


class Unauthorized(HttpError):
    """No credentials, or wrong ones."""

    status = 401
    code = "AUTH_REQUIRED"
    default_message = "Unauthorized"


class Forbidden(HttpError):
    """The request is understood and refused; other credentials do not help."""

    status = 403
    code = "FORBIDDEN"
    default_message = "Forbidden"


class PermissionDenied(Forbidden):
    """The credential is valid, but does not permit this; the text names the missing scope."""

    code = "PERMISSION_DENIED"
    default_message = "Missing permission"


class NotFound(HttpError):
    """Nothing is served at this path."""

    status = 404
    code = "NOT_FOUND"
    default_message = "Not found"


class MethodNotAllowed(HttpError):
    """The path exists, but not with this method; an `Allow` header says which ones do."""

    status = 405
    code = "METHOD_NOT_ALLOWED"
    default_message = "Method not allowed"


class RequestTimeout(HttpError):
    """The request did not arrive in time."""

    status = 408
    code = "REQUEST_TIMEOUT"
    default_message = "The request did not arrive in time"


class PayloadTooLarge(HttpError):
    """The body is larger than the limit of the plugin that would receive it."""

    status = 413
    code = "PAYLOAD_TOO_LARGE"
    default_message = "Payload too large"


class UrlTooLong(HttpError):
    """The URL is longer than the limit of the host."""

    status = 414
    code = "URL_TOO_LONG"
    default_message = "URL too long"


class ExpectationFailed(HttpError):
    """The request expects something that the host does not do."""

    status = 417
    code = "EXPECTATION_FAILED"
    default_message = "The only expectation that is met is 100-continue"


class UntrustedHost(HttpError):
    """The request is for a name that this host does not answer to."""

    status = 421
    code = "UNTRUSTED_HOST"
    default_message = "This host does not answer to that name"


class UpgradeRequired(HttpError):
    """A websocket handshake of another version."""

    status = 426
    code = "UPGRADE_REQUIRED"
    default_message = "Upgrade required"


class TooManyRequests(HttpError):
    """This client takes more than its share, or asks too often."""

    status = 429
    code = "TOO_MANY_REQUESTS"
    default_message = "Too many requests"


class HeadersTooLarge(HttpError):
    """The headers are more, or larger, than the limits of the host."""

    status = 431
    code = "HEADERS_TOO_LARGE"
    default_message = "Headers too large"


class UnsupportedEncoding(HttpError):
    """The body is compressed in a way that the host does not know."""

    status = 415
    code = "UNSUPPORTED_ENCODING"
    default_message = "Unsupported content encoding"


class ServiceUnavailable(HttpError):
    """Not now: the host is starting or stopping, or a service that is needed is absent."""

    status = 503
    code = "SERVICE_UNAVAILABLE"
    default_message = "Service unavailable"
