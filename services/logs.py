"""How every process of coordctl logs: to stderr, one readable line per thing, or one JSON object."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

LINES = "lines"
JSON = "json"
FORMATS = (LINES, JSON)


def set_up(service: str, style: str = LINES) -> None:
    """Send what this process logs to stderr, in one of the FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service) if style == JSON else LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class LineFormatter(logging.Formatter):
    """`14:03:59.123 what happened`; the level stands there only where it matters."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone()
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        line = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {level}{record.getMessage()}"
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
            "message": record.getMessage(),
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
