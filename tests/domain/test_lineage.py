"""Which events make a project's state: the lineage, against lists of events kept as plainly as can be."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.lineage import END, Fork, History, Lineage, Restore, Segment, Turn, includes, trace

Place = tuple[str, int]
"""An event: the stream that it stands in, and its sequence."""


class Projects:
    """What happened in some projects: all events of each, and those that made its state after each one."""

    def __init__(self) -> None:
        self.events: dict[str, list[Place]] = {"p0": []}
        self.states: dict[str, list[list[Place]]] = {"p0": [[]]}
        self.turns: dict[str, list[Turn]] = {"p0": []}

    def add(self, project: str, state: list[Place]) -> None:
        place = (project, len(self.events[project]) + 1)
        self.events[project].append(place)
        self.states[project].append([*state, place])

    def work(self, project: str) -> None:
        self.add(project, self.states[project][-1])

    def fork(self, origin: str, sequence: int) -> None:
        project = f"p{len(self.events)}"
        self.events[project] = self.events[origin][:sequence]
        self.states[project] = self.states[origin][: sequence + 1]
        self.turns[project] = [Fork(origin, sequence)]
        self.work(project)

    def restore(self, project: str, sequence: int) -> None:
        self.turns[project].append(Restore(at=len(self.events[project]) + 1, to=sequence))
        self.add(project, self.states[project][sequence])

    def lineage(self, project: str) -> Lineage:
        return trace(project, self.turns.__getitem__)


@st.composite
def projects(draw: st.DrawFn) -> Projects:
    """Some work, now and then a fork or a restore, to any point of any project."""
    made = Projects()
    for deed in draw(st.lists(st.sampled_from("wwwwrrf"), max_size=25)):
        project = draw(st.sampled_from(sorted(made.events)))
        last = len(made.events[project])
        if deed == "w" or not last:
            made.work(project)
        elif deed == "r":
            made.restore(project, draw(st.integers(1, last)))
        else:
            made.fork(project, draw(st.integers(1, last)))
    return made


def places(history: History) -> list[Place]:
    return [(each.stream, number) for each in history for number in range(each.first, each.last + 1)]


@settings(deadline=None)
@given(projects())
def test_every_state_there_was_is_made_by_the_events_that_counted_then(made: Projects) -> None:
    for project, states in made.states.items():
        lineage = made.lineage(project)
        for sequence, state in enumerate(states):
            assert places(lineage.effective(sequence)) == state
            assert places(lineage.raw(sequence)) == made.events[project][:sequence]
        present = lineage.effective()
        assert [includes(present, number) for _, number in made.events[project]] == [
            place in states[-1] for place in made.events[project]
        ]


@settings(deadline=None)
@given(projects())
def test_every_event_is_found_in_its_stream(made: Projects) -> None:
    for project, events in made.events.items():
        lineage = made.lineage(project)
        assert [lineage.stream_of(number) for _, number in events] == [stream for stream, _ in events]
        assert lineage.own.stream == project
        assert lineage.own.last == END


@settings(deadline=None)
@given(projects())
def test_what_came_after_the_last_turn_counts_whole(made: Projects) -> None:
    for project, states in made.states.items():
        lineage = made.lineage(project)
        turn = lineage.last_turn
        own = [(project, number) for number in range(turn.at, len(states))]
        assert states[turn.to] + own == states[-1]


def turned(*turns: Turn, **others: Sequence[Turn]) -> Lineage:
    return trace("p", {"p": turns, **others}.__getitem__)


def test_a_project_that_never_turned_is_its_own_stream() -> None:
    lineage = turned()
    assert lineage.effective() == lineage.raw() == (Segment("p", 1, END),)
    assert lineage.last_turn == Restore(at=1, to=0)


def test_a_restore_into_time_that_was_taken_back_brings_it_back() -> None:
    lineage = turned(Restore(at=8, to=3), Restore(at=10, to=6))
    assert lineage.effective(9) == (Segment("p", 1, 3), Segment("p", 8, 9))
    assert lineage.effective(12) == (Segment("p", 1, 6), Segment("p", 10, 12))


def test_a_restore_to_before_an_earlier_one_takes_that_back_too() -> None:
    lineage = turned(Restore(at=8, to=6), Restore(at=10, to=2))
    assert lineage.effective(11) == (Segment("p", 1, 2), Segment("p", 10, 11))


def test_a_fork_of_a_fork_at_a_point_before_the_first_is_one_of_the_first_origin() -> None:
    lineage = turned(Fork("q", 4), q=(Fork("r", 7), Restore(at=9, to=2)), r=(Restore(at=3, to=1),))
    assert lineage.raw(6) == (Segment("r", 1, 4), Segment("p", 5, 6))
    assert lineage.effective(6) == (Segment("r", 1, 1), Segment("r", 3, 4), Segment("p", 5, 6))


def test_a_fork_can_be_restored_to_a_point_before_it_was_forked() -> None:
    lineage = turned(Fork("q", 5), Restore(at=9, to=2), q=(Restore(at=7, to=1),))
    assert lineage.effective(9) == (Segment("q", 1, 2), Segment("p", 9, 9))
