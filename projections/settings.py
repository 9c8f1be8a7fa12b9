"""Settings: the values that were set, what holds where nothing was, and the history of both."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from domain.messages import Data, Recorded
from domain.settings import PROJECT_SETTINGS, USER_SETTINGS, Known, Scope, SettingChanged
from projections.folds import position
from projections.framework import Projection, Row, on
from projections.views import Page, View


class SettingRow(Row, frozen=True, kw_only=True):
    """A value that was set; `unset` if it was taken away. `user` is empty but for scope `user`."""

    scope: Scope
    user: str
    key: str
    value: Data
    unset: bool
    set_by: str
    set_at: datetime


class SettingChangeRow(Row, frozen=True, kw_only=True):
    """One change of a setting."""

    position: int
    sequence: int
    scope: Scope
    user: str
    key: str
    old: Data
    new: Data
    unset: bool
    by: str
    at: datetime


class EffectiveSetting(Struct, frozen=True, kw_only=True):
    """The value that holds, and where it comes from.

    `scope` is where one would set it: a project setting that the project left alone may come from the system.
    """

    scope: Scope
    user: str
    key: str
    value: Data
    source: Literal["user", "project", "system", "built-in"]
    default: Data = None
    meaning: str = ""
    set_by: str | None = None
    set_at: datetime | None = None


class SettingParams(Page, frozen=True, kw_only=True):
    """With a `user`, the list is what holds for that user, defaults included."""

    entity: str | None = None
    scope: Scope | None = None
    user: str | None = None


class SettingHistoryParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    scope: Scope | None = None
    user: str | None = None
    agent: str | None = None


def changed(_: SettingRow | None, event: SettingChanged, recorded: Recorded) -> SettingRow:
    return SettingRow(
        project=recorded.project,
        scope=event.scope,
        user=event.user,
        key=event.key,
        value=event.new,
        unset=event.unset,
        set_by=recorded.actor,
        set_at=recorded.at,
    )


def noted(_: SettingChangeRow | None, event: SettingChanged, recorded: Recorded) -> SettingChangeRow:
    return SettingChangeRow(
        project=recorded.project,
        position=recorded.position,
        sequence=recorded.sequence,
        scope=event.scope,
        user=event.user,
        key=event.key,
        old=event.old,
        new=event.new,
        unset=event.unset,
        by=recorded.actor,
        at=recorded.at,
    )


def effective(rows: Sequence[SettingRow], params: SettingParams) -> list[EffectiveSetting]:
    """What holds, given the rows of a project and of the system: the project's value, else the system's, else
    the built-in default.

    A user's settings are the user's or the default; users who set nothing have none but if asked for.
    """
    rows = [row for row in rows if not row.unset]
    system = {row.key: row for row in rows if row.scope == "system"}
    project = {row.key: row for row in rows if row.scope == "project"}
    found = [
        _effective("project", "", key, project.get(key) or system.get(key), PROJECT_SETTINGS)
        for key in dict.fromkeys((*PROJECT_SETTINGS, *system, *project))
    ]
    own = {(row.user, row.key): row for row in rows if row.scope == "user"}
    asked: Iterable[tuple[str, str]] = (
        [] if params.user is None else [(params.user, k) for k in USER_SETTINGS]
    )
    found += [
        _effective("user", user, key, own.get((user, key)), USER_SETTINGS)
        for user, key in dict.fromkeys((*asked, *own))
        if params.user in (None, user)
    ]
    return found


def _effective(
    scope: Scope, user: str, key: str, row: SettingRow | None, defaults: Mapping[str, Known]
) -> EffectiveSetting:
    known = defaults.get(key)
    default, meaning = (known.default, known.meaning) if known else (None, "")
    if row is None:
        return EffectiveSetting(
            scope=scope,
            user=user,
            key=key,
            value=default,
            source="built-in",
            default=default,
            meaning=meaning,
        )
    return EffectiveSetting(
        scope=scope,
        user=user,
        key=key,
        value=row.value,
        source=row.scope,
        default=default,
        meaning=meaning,
        set_by=row.set_by,
        set_at=row.set_at,
    )


SETTINGS = Projection(
    name="settings",
    version=2,
    row=SettingRow,
    key=("scope", "user", "key"),
    folds=(on(SettingChanged, changed),),
)

SETTING_HISTORY = Projection(
    name="setting_history",
    version=1,
    row=SettingChangeRow,
    key=("position",),
    folds=(on(SettingChanged, noted, key=position),),
    append_only=True,
    record=True,
)

SETTINGS_VIEW = View(
    projection=SETTINGS,
    params=SettingParams,
    order=("scope", "user", "key"),
    compares={"entity": ("key",)},
    merges=effective,
    inherits=True,
)

SETTING_HISTORY_VIEW = View(
    projection=SETTING_HISTORY,
    params=SettingHistoryParams,
    order=("-position",),
    compares={"entity": ("key",), "agent": ("by",)},
)
