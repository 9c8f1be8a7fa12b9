"""The first answer to each actor's command ids, so that a repeat is told the same and does nothing twice.

Of a command that brought events about only the first sequence is kept: its answer is made again from the log.
Refusals are kept as they are, for as long as the process lives, but for very long ones. Bounded: a command
repeated after so many others is decided anew, and then fences and derived ids refuse it.
"""

from collections import OrderedDict

from domain.errors import CoordError

MAX_ANSWERS_PER_PROJECT = 100_000
MAX_REFUSALS_PER_PROJECT = 5_000
MAX_REFUSAL_CHARS = 2_000


class Answers:
    """The remembered answers of one project."""

    def __init__(self) -> None:
        self._sequences: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._refusals: OrderedDict[tuple[str, str], CoordError] = OrderedDict()

    def carried_out(self, actor: str, command_id: str, sequence: int) -> None:
        """This command's first event stands at this sequence; later events of it change nothing."""
        if (actor, command_id) in self._sequences:
            return
        self._sequences[actor, command_id] = sequence
        if len(self._sequences) > MAX_ANSWERS_PER_PROJECT:
            self._sequences.popitem(last=False)

    def refused(self, actor: str, command_id: str, refusal: CoordError) -> None:
        if len(str(refusal)) > MAX_REFUSAL_CHARS:
            return
        refusal.__traceback__ = refusal.__context__ = refusal.__cause__ = None  # they hold the whole batch
        self._refusals[actor, command_id] = refusal
        if len(self._refusals) > MAX_REFUSALS_PER_PROJECT:
            self._refusals.popitem(last=False)

    def sequence_of(self, actor: str, command_id: str) -> int | None:
        return self._sequences.get((actor, command_id))

    def refusal_of(self, actor: str, command_id: str) -> CoordError | None:
        return self._refusals.get((actor, command_id))
