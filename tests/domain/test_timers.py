"""Timers: the earliest deadline first, however often each is moved or cleared."""

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.timers import Kind, Timers
from tests.domain.given import at

_KINDS: tuple[Kind, ...] = ("lease", "due", "handoff", "agent")
_STEPS = st.lists(
    st.tuples(
        st.sampled_from(("set", "clear", "pop")),
        st.sampled_from(_KINDS),
        st.sampled_from(("x", "y")),
        st.integers(0, 20),
    ),
    max_size=60,
)


def test_nothing_is_due_before_its_time() -> None:
    timers = Timers()
    timers.set("lease", "t1", at(10))
    assert timers.next() == at(10)
    assert timers.pop_due(at(9)) is None
    assert timers.pop_due(at(10)) == ("lease", "t1")
    assert timers.pop_due(at(10)) is None
    assert timers.next() is None


def test_the_earliest_comes_first() -> None:
    timers = Timers()
    timers.set("lease", "late", at(30))
    timers.set("handoff", "early", at(10))
    timers.set("due", "middle", at(20))
    assert [timers.pop_due(at(60)) for _ in range(3)] == [
        ("handoff", "early"),
        ("due", "middle"),
        ("lease", "late"),
    ]


def test_kinds_with_the_same_name_do_not_touch_each_other() -> None:
    timers = Timers()
    timers.set("lease", "x", at(1))
    timers.set("due", "x", at(2))
    timers.clear("lease", "x")
    assert timers.pop_due(at(5)) == ("due", "x")


def test_a_lease_renewed_a_thousand_times_costs_one_entry() -> None:
    timers = Timers()
    for second in range(1_000):
        timers.set("lease", "t1", at(second))
    assert len(timers._heap) == 1
    assert timers.next() == at(999)


@settings(max_examples=300, deadline=None)
@given(_STEPS)
def test_timers_are_due_exactly_as_last_set(steps: list[tuple[str, Kind, str, int]]) -> None:
    timers = Timers()
    model: dict[tuple[Kind, str], datetime] = {}
    for step, kind, name, second in steps:
        match step:
            case "set":
                timers.set(kind, name, at(second))
                model[kind, name] = at(second)
            case "clear":
                timers.clear(kind, name)
                model.pop((kind, name), None)
            case _:
                popped = timers.pop_due(at(second))
                earliest = min(model.values(), default=None)
                if popped is None:
                    assert earliest is None or earliest > at(second)
                else:
                    assert model.pop(popped) == earliest
        assert timers.due == model
        assert timers.next() == min(model.values(), default=None)
