"""How every process of coordctl logs: to stderr, one readable line per thing, or one JSON object.

What a line is about stands in FIELDS of its own (docs/logs-and-traces.md), which are given as `extra`.
Whoever sends a service a million bad messages must not fill the disk with what it says of them: of lines that
are alike only some are written, and no message is longer than a page. Nor may a secret get into a log: what
looks like one is left out, whoever wrote it.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec
from msgspec import Struct

LINES = "lines"
JSON = "json"
FORMATS = (LINES, JSON)
LEVELS = ("debug", "info", "warning", "error")

FIELDS = ("project", "actor", "command", "command_id", "trace_id", "code", "task", "agent", "handoff")
"""What a line may say beside its message, in this order."""

MAX_MESSAGE_CHARS = 4_000
MAX_TRACEBACK_CHARS = 16_000
MAX_LIKE_LINES = 20
LIKE_WINDOW_S = 60.0
MAX_KINDS = 1_000
"""How many kinds of line are told apart; further ones count as one."""

MAX_KIND_CHARS = 200
"""How much of its text tells a kind."""

OURS = ("services", "coord")
"""The loggers that a level below `info` is for: of libraries nobody wants to know so much."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SECRETS = (
    (re.compile(r"(://[^\s:/@]*):[^\s/@]+@"), r"\1:…@"),  # a password in a URL
    (re.compile(r"(password=)('[^']*'|\S+)"), r"\1…"),
    (re.compile(r"\bS[ACNOUX][A-Z2-7]{56}\b"), "S…"),  # the seed of an nkey
    (re.compile(r"\b(coord_[0-9a-f]{12})_[A-Za-z0-9_-]{43}"), r"\1_…"),  # a token; who has it is no secret
    (re.compile(r"(?i)(bearer )(?!coord_[0-9a-f]{12}_…)[^\s`]+"), r"\1…"),
)


class Asked(Protocol):
    """What a command's context, a request and an event have in common."""

    @property
    def project(self) -> str: ...

    @property
    def actor(self) -> str: ...

    @property
    def command_id(self) -> str: ...

    @property
    def traceparent(self) -> str | None: ...


def about(asked: Asked, **more: str) -> dict[str, str]:
    """The `extra` of a line about a command; `more` are further FIELDS."""
    fields = {"project": asked.project, "actor": asked.actor, "command_id": asked.command_id, **more}
    if asked.traceparent:
        fields["trace_id"] = asked.traceparent[3:35]
    return fields


def set_up(service: str, style: str = LINES, level: str = "info") -> None:
    """Send what this process logs to stderr, in one of the FORMATS, from one of the LEVELS on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == JSON else LineFormatter())
    handler.addFilter(Sparing())
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(number)


class Sparing(logging.Filter):
    """Lets some lines of a kind through, and with the next one after a while says how many it kept back.

    Of a kind are those of one logger with one text, whatever is filled in. What ends a process always passes,
    and what only somebody who asked for it is told.
    """

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not logging.INFO <= record.levelno < logging.CRITICAL:
            return True
        kind = (record.name, str(record.msg)[:MAX_KIND_CHARS])
        if kind not in self._windows and len(self._windows) >= MAX_KINDS:
            kind = ("", "")
        window = self._windows.setdefault(kind, _Window(record.created))
        if record.created - window.since >= LIKE_WINDOW_S:
            self._windows[kind] = _Window(record.created)
            if window.lines > MAX_LIKE_LINES:
                left_out = window.lines - MAX_LIKE_LINES
                record.msg, record.args = f"{record.getMessage()} (and {left_out} before, left out)", ()
            window = self._windows[kind]
        window.lines += 1
        return window.lines <= MAX_LIKE_LINES


class _Window(Struct):
    since: float
    lines: int = 0


def text_of(record: logging.LogRecord) -> str:
    """The message, as much of it as is written."""
    message = discreet(record.getMessage())
    return message if len(message) <= MAX_MESSAGE_CHARS else f"{message[:MAX_MESSAGE_CHARS]}…"


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Those of the FIELDS that the line has."""
    given = ((name, getattr(record, name, None)) for name in FIELDS)
    return {name: discreet(str(value)) for name, value in given if value is not None}


def traceback_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The beginning and the end of the traceback; empty if the line has none."""
    if not record.exc_info:
        return ""
    text, half = discreet(formatter.formatException(record.exc_info)), MAX_TRACEBACK_CHARS // 2
    return text if len(text) <= MAX_TRACEBACK_CHARS else f"{text[:half]}\n…\n{text[-half:]}"


def discreet(text: str) -> str:
    """The text without what looks like a secret."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


class LineFormatter(logging.Formatter):
    """`14:03:59.123 what happened [about=what]`; the level stands there only where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        told = " ".join(f"{name}={value}" for name, value in fields_of(record).items())
        text = _CONTROL.sub(" ", f"{text_of(record)} [{told}]" if told else text_of(record))
        line = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {level}{text}"
        traceback = traceback_of(self, record)
        return f"{line}\n{traceback}" if traceback else line


class JsonFormatter(logging.Formatter):
    """One object a line, for whatever collects logs."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": text_of(record),
            **fields_of(record),
        }
        if traceback := traceback_of(self, record):
            entry["traceback"] = traceback
        return msgspec.json.encode(entry).decode()


def in_style(style: str, service: str, line: str) -> str:
    """A line of a service's output beside those of the others."""
    if style != JSON:
        return f"{service:<9} | {discreet(line)}"
    if line.startswith("{"):
        return line  # the service logs in this style itself
    entry = {"at": datetime.now(UTC), "level": "info", "service": service, "logger": __name__}
    return msgspec.json.encode({**entry, "message": discreet(line)}).decode()
