"""Random instants of a long history and random things in it, seen by time travel and by plain replay.

It reads the log and the read models, and changes nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from random import Random
from time import perf_counter

from msgspec import Struct

from domain.errors import CoordError
from projections.catalog import VIEWS
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import Connection
from services.reading.reads import Item, shape
from services.reading.replay import replay
from services.reading.travel import Travel

THINGS: Mapping[str, str] = {"queue": "task.", "agents": "agent.", "handoffs": "handoff."}
"""Views of one kind of thing each, and how the names of events about such a thing begin."""

_SAMPLE_EVENTS = 20_000


class AnswersDiffer(CoordError):
    code = "answers_differ"
    says = (
        "The view {view} at {moment} is not what a replay from the beginning gives; run `coordctl verify`,"
        " and report this: checkpoints must change no answer."
    )


class Ask(Struct, frozen=True, kw_only=True):
    """A view at an instant; of one entity, if it is named."""

    view: str
    moment: datetime
    entity: str | None = None

    @property
    def params(self) -> dict[str, str]:
        return {} if self.entity is None else {"entity": self.entity}


class Answer(Struct, frozen=True):
    """Rows of a view, and how long they took (milliseconds)."""

    items: list[Item]
    ms: float


class Traveller:
    """Asks for the past of a project in both ways: an instant is looked up in the log, then the view read."""

    def __init__(
        self, log: EventLog, codec: Codec, connection: Connection, project: str, random: Random
    ) -> None:
        self._log = log
        self._codec = codec
        self._travel = Travel(log, codec, connection)
        self._project = project
        self._random = random
        self.last_sequence, _ = log.project_head(project)
        first, last = map(codec.decode, log.read_at(project, [1, self.last_sequence]))
        self._began, self._ended = first.at, last.at

    def instant(self, since: datetime | None = None) -> datetime:
        """A moment of the history, each as likely as any other."""
        since = since or self._began
        return since + self._random.random() * (self._ended - since)

    def sequence(self, moment: datetime) -> int:
        """How many events the project had at a moment."""
        return self._log.sequence_at(self._project, self._log.at_time(self._project, moment))

    def views(self, rounds: int) -> list[Ask]:
        """Every view in turn, each time at another instant."""
        return [Ask(view=view, moment=self.instant()) for _ in range(rounds) for view in VIEWS]

    def entities(self, rounds: int) -> list[Ask]:
        """A task, an agent and a handoff in turn, each at an instant after it was first heard of."""
        wanted = min(_SAMPLE_EVENTS, self.last_sequence)
        sequences = self._random.sample(range(1, self.last_sequence + 1), wanted)
        found = [self._codec.decode(row) for row in self._log.read_at(self._project, sequences)]
        asks = []
        for view, prefix in THINGS.items():
            told = [each for each in found if each.event.name.startswith(prefix)]
            for each in self._random.choices(told, k=rounds):
                asks.append(Ask(view=view, moment=self.instant(each.at), entity=each.event.entity))
        return asks

    def travel(self, ask: Ask) -> Answer:
        """From the nearest checkpoint."""
        began = perf_counter()
        position = self._log.at_time(self._project, ask.moment)
        items = self._travel.view(self._project, ask.view, position, ask.params)
        return Answer(items, (perf_counter() - began) * 1e3)

    def replay(self, ask: Ask) -> Answer:
        """By folding everything from the first event on: what there is without checkpoints."""
        began = perf_counter()
        position = self._log.at_time(self._project, ask.moment)
        projection = VIEWS[ask.view].projection
        rows = replay(self._log, self._codec, [projection], self._project, position)[projection.name]
        items = shape(ask.view, rows.values(), ask.params)
        return Answer(items, (perf_counter() - began) * 1e3)

    def check(self, ask: Ask, travelled: list[Item], replayed: list[Item]) -> None:
        """Raises AnswersDiffer unless both ways have the same rows."""
        if travelled != replayed:
            raise AnswersDiffer(view=ask.view, moment=ask.moment.isoformat())
