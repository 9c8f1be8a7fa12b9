"""Every event there is can be told in one line."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.catalog import EVENTS
from domain.messages import Event, Recorded
from domain.settings import SettingChanged
from domain.tasks.events import TaskCancelled, TaskClaimed, TaskFailed, TaskProgressed
from projections.words import words
from tests.projections.stories import START

_SAMPLES: dict[type[msgspec.inspect.Type], Any] = {
    msgspec.inspect.StrType: "x",
    msgspec.inspect.IntType: 1,
    msgspec.inspect.FloatType: 1.5,
    msgspec.inspect.BoolType: True,
    msgspec.inspect.DateTimeType: START,
}


def sample(event: type[Event]) -> Event:
    """An event with something in each field that needs something."""
    info = msgspec.inspect.type_info(event)
    assert isinstance(info, msgspec.inspect.StructType)
    fields = _fields(info)
    if "to_agent" in event.__struct_fields__:
        fields.setdefault("to_agent", "x")
    return msgspec.convert(fields, event)


def _fields(info: msgspec.inspect.StructType) -> dict[str, Any]:
    return {field.encode_name: _value(field.type) for field in info.fields if field.required}


def _value(kind: msgspec.inspect.Type) -> Any:
    match kind:
        case msgspec.inspect.LiteralType(values):
            return values[0]
        case msgspec.inspect.VarTupleType(item):
            return [_value(item)]
        case msgspec.inspect.StructType():
            return _fields(kind)
        case _:
            return _SAMPLES[type(kind)]


def told(event: Event, actor: str = "op") -> str:
    return words(
        Recorded(position=1, sequence=1, project="novel", actor=actor, at=START, command_id="c", event=event)
    )


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_there_are_words_for_every_event(event: type[Event]) -> None:
    line = told(sample(event))
    assert len(line) > 3
    assert "None" not in line


def test_words_name_who_what_and_why() -> None:
    claimed = TaskClaimed(task="t-x", agent="a1", fence=2, brief=1, attempt=1, lease_s=9.0, lease_until=START)
    assert told(claimed) == "a1 claimed t-x under fence 2 (attempt 1)"
    assert told(TaskCancelled(task="t1", reason="no need", agent="a1")) == (
        "op cancelled t1, held by a1: no need"
    )
    assert told(TaskProgressed(task="t1", agent="a1", fence=1, percent=40)) == "a1 goes on with t1 (40%)"
    changed = SettingChanged(scope="user", user="ann", key="theme", old="dark", new="light")
    assert told(changed) == 'op set the user setting theme of ann to "light" (was "dark")'


@given(st.text(max_size=300))
def test_whatever_a_text_holds_the_words_are_one_short_line(error: str) -> None:
    line = told(TaskFailed(task="t1", agent="a1", fence=1, error=error, failures=1, seconds=1.0))
    assert len(line.splitlines()) == 1
    assert len(line) < 200
