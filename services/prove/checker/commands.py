"""`once`, as the log has it: each command was asked, has one run of events, and brings each about once.

Keeps about 200 bytes for each command that brought events about, in columns, by the hash of its project,
actor and id: two of ten million agree with a chance of less than one in 100,000.
"""

from array import array

from msgspec import Struct

from services.prove.checker.findings import Violations
from services.prove.evidence import Logged

RECOVERED = "agent.recovered@"
"""Told under an id of its own beside the command's, and maybe again when the command is asked again."""


class Run(Struct, frozen=True):
    """Where the events of a command stand: the first and the last position, the last one's sequence."""

    first: int
    last: int
    sequence: int


class Commands:
    """Sees every event of the log in order; afterwards knows where the events of each command stand."""

    def __init__(self) -> None:
        self.violations = Violations("once")
        self._index: dict[int, int] = {}
        self._first = array("q")
        self._last = array("q")
        self._sequence = array("q")
        self._told = array("q")
        self._actor = array("l")
        self._asked = bytearray()
        self._actors: dict[tuple[str, str], int] = {}
        self._clients: set[int] = set()
        self._now: dict[str, int] = {}
        self._seen: dict[str, set[tuple[str, str]]] = {}
        self._moment: dict[str, str] = {}

    def see(self, event: Logged) -> None:
        body = event.body
        if event.topic.startswith(RECOVERED):
            self._now.pop(event.project, None)
            return
        self.violations.examined += 1
        new = len(self._first)
        index = self._index.setdefault(key_of(event.project, body["actor"], body["command_id"]), new)
        if index == new:
            self._begin(event)
        elif self._now.get(event.project) != index:
            self._again(event, "did something before, at position", self._last[index])
        self._check_run(event, begins=self._now.get(event.project) != index)
        self._now[event.project] = index
        self._last[index] = event.position
        self._sequence[index] = event.sequence

    def find(self, key: int) -> Run | None:
        """Where the events of a command stand, or None if it brought none about."""
        index = self._index.get(key)
        if index is None:
            return None
        return Run(self._first[index], self._last[index], self._sequence[index])

    def told_before(self, key: int, answer: int) -> int:
        """Remember an answer to a command that the log has; returns the one remembered first."""
        index = self._index[key]
        self._told[index] = self._told[index] or answer
        return self._told[index]

    def asked(self, project: str, actor: str, command_id: str) -> None:
        """Somebody asked for this, and so everything that this actor asks is told of in the transcripts."""
        index = self._index.get(key_of(project, actor, command_id))
        if index is not None:
            self._asked[index] = True
            self._clients.add(self._actor[index])

    def end(self) -> None:
        """All that was asked is known: what else happened in the name of a client is wrong."""
        names = [*self._actors]
        for index, asked in enumerate(self._asked):
            if not asked and self._actor[index] in self._clients:
                project, actor = names[self._actor[index]]
                self.violations.add(
                    f"Nobody asked for the command of {actor} in {project} whose events stand from position"
                    f" {self._first[index]} to {self._last[index]}."
                )

    def _begin(self, event: Logged) -> None:
        actor = (event.project, event.body["actor"])
        self._actor.append(self._actors.setdefault(actor, len(self._actors)))
        self._asked.append(False)
        self._first.append(event.position)
        self._last.append(event.position)
        self._sequence.append(event.sequence)
        self._told.append(0)

    def _check_run(self, event: Logged, *, begins: bool) -> None:
        """What one command does, it does at one moment and to each thing once."""
        body = event.body
        done = (event.topic, body["entity"])
        if begins:
            self._seen[event.project] = {done}
            self._moment[event.project] = body["at"]
            return
        if done in self._seen[event.project]:
            self._again(event, f"did the same to {body['entity']} before, since", self._first_of(event))
        elif body["at"] != self._moment[event.project]:
            self._again(event, "went on at another moment, since", self._first_of(event))
        self._seen[event.project].add(done)

    def _first_of(self, event: Logged) -> int:
        return self._first[self._now[event.project]]

    def _again(self, event: Logged, what: str, before: int) -> None:
        self.violations.add(
            f"Command {event.body['command_id']} of {event.body['actor']} in {event.project} brings about"
            f" {event.topic} at position {event.position}, and {what} {before}."
        )


def key_of(project: str, actor: str, command_id: str) -> int:
    """A command's place among all; never 0."""
    return hash((project, actor, command_id)) or 1
