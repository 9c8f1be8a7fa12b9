"""Projects that are worked in, forked and restored at random, their events and states kept as plain lists."""

from hypothesis import strategies as st

from domain.lineage import Fork, Lineage, Restore, Turn, trace

Place = tuple[str, int]
"""An event: the stream that it stands in, and its sequence."""


class Projects:
    """What happened in some projects: all events of each, and those that made its state after each one.

    `log` has the events in the order in which they happened, with the turns that some of them were.
    """

    def __init__(self) -> None:
        self.log: list[tuple[Place, Turn | None]] = []
        self.events: dict[str, list[Place]] = {"p0": []}
        self.states: dict[str, list[list[Place]]] = {"p0": [[]]}
        self.turns: dict[str, list[Turn]] = {"p0": []}

    def add(self, project: str, state: list[Place], turn: Turn | None = None) -> None:
        place = (project, len(self.events[project]) + 1)
        self.log.append((place, turn))
        if turn is not None:
            self.turns[project].append(turn)
        self.events[project].append(place)
        self.states[project].append([*state, place])

    def work(self, project: str) -> None:
        self.add(project, self.states[project][-1])

    def fork(self, origin: str, sequence: int) -> None:
        project = f"p{len(self.events)}"
        self.events[project] = self.events[origin][:sequence]
        self.states[project] = self.states[origin][: sequence + 1]
        self.turns[project] = []
        self.add(project, self.states[project][-1], Fork(origin, sequence))

    def restore(self, project: str, sequence: int) -> None:
        at = len(self.events[project]) + 1
        self.add(project, self.states[project][sequence], Restore(at=at, to=sequence))

    def lineage(self, project: str) -> Lineage:
        return trace(project, self.turns.__getitem__)


@st.composite
def projects(draw: st.DrawFn, most: int = 25) -> Projects:
    """Some work, now and then a fork or a restore, to any point of any project."""
    made = Projects()
    for deed in draw(st.lists(st.sampled_from("wwwwrrf"), max_size=most)):
        project = draw(st.sampled_from(sorted(made.events)))
        last = len(made.events[project])
        if deed == "w" or not last:
            made.work(project)
        elif deed == "r":
            made.restore(project, draw(st.integers(1, last)))
        else:
            made.fork(project, draw(st.integers(1, last)))
    return made
