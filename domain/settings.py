"""Settings: per system, project and user; each change an event with the old and the new value.

Known keys are typed and bounded; any other key holds free JSON. The system's settings live in a project of
their own (`_system`) and are the defaults of every project.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, assert_never

import msgspec
from msgspec import Struct

from domain.errors import InvalidCommand, InvalidSetting
from domain.messages import SYSTEM_PROJECT, Command, Context, Data, Event, Key, Name

if TYPE_CHECKING:
    from domain.ledger import Ledger

Scope = Literal["system", "project", "user"]
SettingId = tuple[Scope, str, str]
"""Scope, user (empty but for user settings) and key."""


class Known(Struct, frozen=True):
    """What a known setting may be: its type, its bounds, its default and what it is for."""

    type: type
    default: Data
    meaning: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """The rule in words, for whoever broke it."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[self.type]
        if self.least is not None:
            words += f", {self.least:g} or more"
        if self.most is not None:
            words += f", {self.most:g} at most"
        return words

    def allows(self, value: Data) -> bool:
        if self.choices:
            return isinstance(value, str) and value in self.choices
        if isinstance(value, bool) or self.type is bool:
            return isinstance(value, bool) and self.type is bool
        if isinstance(value, str) or self.type is str:
            return isinstance(value, str) and self.type is str and 0 < len(value) <= 64
        if not isinstance(value, int if self.type is int else int | float):
            return False
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


_DAY_S = 86_400.0

PROJECT_SETTINGS: dict[str, Known] = {
    "max_agents": Known(int, 19, "how many agents may be active at once", 1, 100_000),
    "stale_after_s": Known(float, 120.0, "seconds of silence after which an agent is stale", 1, _DAY_S),
    "idle_timeout_s": Known(float, 3600.0, "seconds without work before an agent ends", 1, 30 * _DAY_S),
    "default_lease_s": Known(float, 300.0, "seconds a claim holds without a heartbeat", 1, _DAY_S),
    "handoff_expiry_s": Known(float, 3600.0, "seconds a handoff waits for an answer", 1, 30 * _DAY_S),
    "max_memories": Known(int, 10_000, "how many current memories there may be", 1, 100_000),
    "memory_half_life_days": Known(float, 30.0, "days unused that halve a memory's strength", 0.01, 3650),
    "memory_archive_below": Known(float, 0.05, "strength below which a memory is archived; 0 is never", 0, 1),
    "memory_summaries": Known(bool, True, "whether an agent's notes are made one when it ends"),
}  # fmt: skip
USER_SETTINGS: dict[str, Known] = {
    "theme": Known(str, "system", "colours of the console", choices=("light", "dark", "system")),
    "language": Known(str, "en", "language of the console, as in BCP 47"),
    "onboarding_complete": Known(bool, False, "whether the introduction was finished"),
    "onboarding_step": Known(int, 0, "where the introduction stands", 0, 1000),
}


class SetSetting(Command, frozen=True, kw_only=True):
    """Give a setting a value. For `user` scope the user is the actor unless named."""

    name: ClassVar[str] = "setting.set"

    key: Key
    value: Data
    scope: Scope = "project"
    user: Name | None = None


class UnsetSetting(Command, frozen=True, kw_only=True):
    """Take a setting's value away, so that its default holds again."""

    name: ClassVar[str] = "setting.unset"

    key: Key
    scope: Scope = "project"
    user: Name | None = None


class SettingChanged(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "setting.changed"

    scope: Scope
    key: str
    user: str = ""
    old: Data = None
    new: Data = None
    unset: bool = False

    @property
    def entity(self) -> str:
        return ".".join(part for part in (self.scope, self.user, self.key) if part)


SettingCommand = SetSetting | UnsetSetting


def decide(ledger: "Ledger", command: SettingCommand, context: Context) -> tuple[Event, ...]:
    setting = _identify(command, context)
    scope, user, key = setting
    old = ledger.settings.get(setting)
    match command:
        case SetSetting():
            _check(scope, key, command.value)
            if setting in ledger.settings and _same(old, command.value):
                return ()
            return (SettingChanged(scope=scope, user=user, key=key, old=old, new=command.value),)
        case UnsetSetting():
            if setting not in ledger.settings:
                return ()
            return (SettingChanged(scope=scope, user=user, key=key, old=old, unset=True),)
        case _:
            assert_never(command)


def evolve(ledger: "Ledger", event: SettingChanged) -> None:
    setting = (event.scope, event.user, event.key)
    if event.unset:
        ledger.settings.pop(setting, None)
    else:
        ledger.settings[setting] = event.new
    ledger.recheck_agents()


def effective(settings: Mapping[SettingId, Data], defaults: Mapping[SettingId, Data], key: str) -> Any:
    """A project setting's value: the project's, else the system's, else the built-in default."""
    project: SettingId = ("project", "", key)
    if project in settings:
        return settings[project]
    return defaults.get(("system", "", key), PROJECT_SETTINGS[key].default)


def _identify(command: SettingCommand, context: Context) -> SettingId:
    if (command.scope == "system") != (context.project == SYSTEM_PROJECT):
        raise InvalidCommand(
            why=f"System settings are set in project {SYSTEM_PROJECT}, and nothing else is set there."
        )
    if command.scope != "user" and command.user is not None:
        raise InvalidCommand(why="Only a setting of scope user names a user.")
    user = (command.user or context.actor) if command.scope == "user" else ""
    return command.scope, user, command.key


def _same(old: Data, new: Data) -> bool:
    """As JSON: Python takes true for 1, also inside of lists and objects."""
    return msgspec.json.encode(old) == msgspec.json.encode(new)


def _check(scope: Scope, key: str, value: Data) -> None:
    known = (USER_SETTINGS if scope == "user" else PROJECT_SETTINGS).get(key)
    if known is not None and not known.allows(value):
        given = msgspec.json.encode(value).decode()[:100]
        raise InvalidSetting(key=key, expected=known.expected, given=given)
