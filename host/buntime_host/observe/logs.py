"""Log lines for people on a terminal and for machines elsewhere; stdlib logging throughout."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from buntime_host.observe.log_output import LineHandler

REQUEST_ID: ContextVar[str | None] = ContextVar("buntime_request_id", default=None)
"""Id of the request that is being served; log records within it carry it."""

TRACE_ID: ContextVar[str | None] = ContextVar("buntime_trace_id", default=None)
"""The id of the trace that it belongs to, where requests are traced."""

ACCESS = "access"
"""The logger with a line for each request. Its messages are whole lines, and are written
unchanged."""

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
SHORT = {"DEBUG": "DBG", "INFO": "INF", "WARNING": "WRN", "ERROR": "ERR", "CRITICAL": "ERR"}
_STANDARD = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}
)


def configure_logging(level: str, form: str) -> None:
    """Send everything to stdout, errors to stderr, as text or as JSON lines.

    `form` `auto` is text where stdout is a terminal. Replaces the root logger of the process, so it
    is for a command, not for an application that embeds the host.
    """
    as_json = form == "json" or (form == "auto" and not sys.stdout.isatty())
    formatter = JsonFormatter() if as_json else TextFormatter()
    root = logging.getLogger()
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    for handler in (_handler(sys.stdout, errors=False), _handler(sys.stderr, errors=True)):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    set_level(level)
    logging.getLogger(ACCESS).setLevel(logging.INFO)  # a reader of these lines wants them all
    logging.captureWarnings(capture=True)


def set_level(level: str) -> None:
    """Write records from this level on."""
    logging.getLogger().setLevel(LEVELS[level])
    # At info, uvicorn reports the same as the host, in other words.
    logging.getLogger("uvicorn").setLevel(max(LEVELS[level], logging.WARNING))


def _handler(stream: TextIO, *, errors: bool) -> logging.Handler:
    handler = LineHandler(stream)
    handler.addFilter(lambda record: (record.levelno >= logging.ERROR) is errors)
    return handler


def name_worker(number: int) -> None:
    """Add the number of the worker to the records of this process."""
    make = logging.getLogRecordFactory()

    def with_number(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.worker = number
        return record

    logging.setLogRecordFactory(with_number)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    extras = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    request_id = REQUEST_ID.get()
    if request_id is not None:
        extras.setdefault("requestId", request_id)
    trace_id = TRACE_ID.get()
    if trace_id is not None:
        extras.setdefault("traceId", trace_id)
    return extras


class _LineFormatter(logging.Formatter):
    """Leaves lines of the access log as they are."""

    def format(self, record: logging.LogRecord) -> str:
        """The formatted text of one record."""
        return record.getMessage() if record.name == ACCESS else self._line(record)

    def _line(self, record: logging.LogRecord) -> str:
        raise NotImplementedError  # each form has its own


class TextFormatter(_LineFormatter):
    """`HH:MM:SS.mmm LVL [context] message key=value`, then a traceback if there is one."""

    def _line(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone()
        extras = "".join(f" {name}={value}" for name, value in _extras(record).items())
        line = (
            f"{time:%H:%M:%S}.{int(record.msecs):03d} {SHORT.get(record.levelname, 'INF')}"
            f" [{record.name}] {record.getMessage()}{extras}"
        )
        if record.exc_info:
            line = f"{line}\n{self.formatException(record.exc_info)}"
        return line


class JsonFormatter(_LineFormatter):
    """One JSON object per line: `time`, `level`, `context`, `message`, then the extras."""

    def _line(self, record: logging.LogRecord) -> str:
        level = "warn" if record.levelno == logging.WARNING else record.levelname.lower()
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "context": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            entry["stack"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry, enc_hook=str).decode()
