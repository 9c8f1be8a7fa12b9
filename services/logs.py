"""How every process of coordctl logs: to stderr, one readable line per thing, or one JSON object.

Whoever sends a service a million bad messages must not fill the disk with what it says of them: of lines that
are alike only some are written, and no message is longer than a page.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

LINES = "lines"
JSON = "json"
FORMATS = (LINES, JSON)

MAX_MESSAGE_CHARS = 4_000
MAX_LIKE_LINES = 20
LIKE_WINDOW_S = 60.0
MAX_KINDS = 1_000
"""How many kinds of line are told apart; further ones count as one."""


def set_up(service: str, style: str = LINES) -> None:
    """Send what this process logs to stderr, in one of the FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == JSON else LineFormatter())
    handler.addFilter(Sparing())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class Sparing(logging.Filter):
    """Lets some warnings of a kind through, and with the next one after a while says how many it kept back.

    Of a kind are those of one logger with one text, whatever is filled in. What ends a process always passes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, str], _Window] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not logging.WARNING <= record.levelno < logging.CRITICAL:
            return True
        kind = (record.name, str(record.msg))
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
    message = record.getMessage()
    return message if len(message) <= MAX_MESSAGE_CHARS else f"{message[:MAX_MESSAGE_CHARS]}…"


class LineFormatter(logging.Formatter):
    """`14:03:59.123 what happened`; the level stands there only where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        line = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {level}{text_of(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


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
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def in_style(style: str, service: str, line: str) -> str:
    """A line of a service's output beside those of the others."""
    if style != JSON:
        return f"{service:<9} | {line}"
    if line.startswith("{"):
        return line  # the service logs in this style itself
    return msgspec.json.encode({"at": datetime.now(UTC), "service": service, "message": line}).decode()
