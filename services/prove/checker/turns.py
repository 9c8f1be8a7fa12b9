"""Which moments later ones go back to: a fork begins as its origin was, a restored project as it was before.

A first look through the log finds them, so that the second can keep what was true then and nothing else.
"""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from services.prove.evidence import Logged

Moment = tuple[str, int]
"""A project and a sequence: right after that event, which stands in that project's own stream."""


class Turns(Struct):
    """`moments` are the sequences to remember, by project; `forks` tell what each fork began as.

    `turned` are the projects that were forked from another or restored.
    """

    moments: dict[str, set[int]]
    forks: dict[str, Moment]
    turned: set[str]

    def moment(self, project: str, sequence: int) -> Moment:
        """In whose own stream the event stands: a fork's first events are its origin's."""
        while project in self.forks and sequence <= self.forks[project][1]:
            project = self.forks[project][0]
        return project, sequence


def find_turns(log: Iterable[Logged]) -> Turns:
    turns = Turns(defaultdict(set), {}, set())
    begun: set[str] = set()
    for event in log:
        begins = event.project not in begun
        begun.add(event.project)
        if not event.topic.startswith("project."):
            continue
        name, data = event.topic.partition("@")[0], event.body["data"]
        if name == "project.forked" and begins:  # later on it is part of a history that was imported
            turns.forks[event.project] = (data["origin"], data["sequence"])
            project, sequence = turns.moment(data["origin"], data["sequence"])
        elif name == "project.restored":
            project, sequence = turns.moment(event.project, data["sequence"])
        else:
            continue
        turns.turned.add(event.project)
        turns.moments[project].add(sequence)
    return turns
