"""Which events make a project's state: the lineage, against lists of events kept as plainly as can be."""

from collections.abc import Sequence

from hypothesis import given, settings

from domain.lineage import END, Fork, Lineage, Restore, Segment, Segments, Turn, includes, trace
from tests.domain.turns import Place, Projects, projects


def places(history: Segments) -> list[Place]:
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
