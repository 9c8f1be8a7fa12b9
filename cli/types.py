"""What the values on a command line may be. The rules are the domain's types; here are words for them."""

import re
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # not every click that will do can be subscripted

MAX_INPUT_BYTES = 1024 * 1024
"""How much is read of a file or of stdin; what is sent is checked against the limit of the wire."""

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) *(ms|s|m|h|d|)")


class Checked(ParamType):
    """A value of one of the domain's constrained types, named as `module:Type`."""

    def __init__(self, name: str, type_path: str, rule: str) -> None:
        self.name = name
        self._type_path = type_path
        self._rule = rule

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        import msgspec

        module, _, kind = self._type_path.partition(":")
        try:
            return msgspec.convert(value, getattr(import_module(module), kind), strict=False)
        except msgspec.ValidationError:
            self.fail(f"{value!r} is not {self._rule}.", param, ctx)


NAME = Checked("name", "domain.messages:Name", "a name: use 1 to 64 letters, digits, _ or -")
TASK = Checked(
    "task", "domain.messages:TaskId", "a task id: letters, digits, _ and -, in parts joined by dots"
)
KEY = Checked("key", "domain.messages:Key", "a key: letters, digits, _ and -, in parts joined by dots")
PRIORITY = Checked(
    "priority", "domain.tasks.commands:Priority", "a priority: a whole number from -1000 to 1000"
)
FENCE = Checked("fence", "domain.tasks.commands:Fence", "a fence: a whole number from 1")


class Duration(ParamType):
    """Seconds, or a number with a unit: 90, 90s, 5m, 2h, 1d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if not isinstance(value, str):
            return float(value)
        found = _DURATION.fullmatch(value.strip())
        if found is None:
            self.fail(f"{value!r} is not a duration: write 90, 90s, 5m, 2h or 1d.", param, ctx)
        return float(found[1]) * _SECONDS[found[2]]


class Moment(ParamType):
    """A time to come: so long from now, or as ISO 8601; without a zone it is UTC."""

    name = "when"
    direction = 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            if _DURATION.fullmatch(value.strip()):
                return datetime.now(UTC) + self.direction * timedelta(
                    seconds=DURATION.convert(value, param, ctx)
                )
            time = datetime.fromisoformat(value.strip())
            return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a duration (10m) nor a time (2026-11-21T14:03Z).", param, ctx)


class PastMoment(Moment):
    """A time gone by: so long ago, or as ISO 8601; without a zone it is UTC."""

    direction = -1


class Json(ParamType):
    """JSON as text, from a file (@FILE) or from stdin (-); what is not JSON may count as text."""

    name = "json"

    def __init__(self, *, or_text: bool = False) -> None:
        self._or_text = or_text

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        import msgspec

        text = self._content(value, param, ctx)
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            if self._or_text:
                return text
            self.fail(f"it is not JSON: {error}.", param, ctx)

    def _content(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            if value == "-":
                text = _read(sys.stdin)
            elif value.startswith("@"):
                with Path(value[1:]).open(encoding="utf-8") as file:
                    text = _read(file)
            else:
                return value
        except (OSError, UnicodeDecodeError) as error:
            self.fail(f"{value} cannot be read: {error}.", param, ctx)
        if len(text) > MAX_INPUT_BYTES:
            self.fail(f"{value} holds more than {MAX_INPUT_BYTES} characters.", param, ctx)
        return text


DURATION = Duration()
MOMENT = Moment()
PAST_MOMENT = PastMoment()
JSON = Json()
JSON_OR_TEXT = Json(or_text=True)


def _read(file: IO[str]) -> str:
    """At most one character more than may be."""
    return file.read(MAX_INPUT_BYTES + 1)
