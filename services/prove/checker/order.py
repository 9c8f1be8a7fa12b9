"""`log-order`: positions grow, and each project's sequences follow each other without a hole."""

from services.prove.checker.findings import Violations
from services.prove.evidence import Logged

FORKED = "project.forked@"


class LogOrder:
    """Sees every event of the log in the order in which it was read."""

    def __init__(self) -> None:
        self.violations = Violations("log-order")
        self.position = 0
        self._sequences: dict[str, int] = {}

    def see(self, event: Logged) -> None:
        self.violations.examined += 1
        if event.position <= self.position:
            self.violations.add(
                f"Position {event.position} ({event.project} #{event.sequence}) comes after"
                f" position {self.position}."
            )
        self.position = max(event.position, self.position)
        last = self._sequences.get(event.project)
        self._sequences[event.project] = event.sequence
        expected = _first(event) if last is None else last + 1
        if event.sequence != expected:
            self.violations.add(
                f"In project {event.project} #{event.sequence} stands at position {event.position}, where"
                f" #{expected} should be."
            )


def _first(event: Logged) -> int:
    """A fork goes on with its origin's numbers."""
    return int(event.body["data"]["sequence"]) + 1 if event.topic.startswith(FORKED) else 1
