"""One memory in place of the notes of a session or an agent that ended, which is heard in the log.

The summary is a command. The summariser is any function from notes to a text; the extractive one takes what
the notes say most of, word for word. What was summarised is superseded, so whatever is heard twice is
summarised once.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module

from msgspec import Struct

from domain.agents import AgentTerminated
from domain.errors import CoordError
from domain.memory import NOTE, SUMMARY
from domain.messages import Event
from domain.sessions import SessionEnded
from projections.memory import MEMORIES_VIEW
from projections.settings import SETTINGS
from services.access.permissions import SUMMARISER
from services.bus.caller import Caller, Refused
from services.config import InvalidConfig
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.tables import connected
from services.reading.reads import Item, Reads
from services.recall import tables
from services.recall.words import terms
from services.waiting import either

CODE = "1"
LEAST_NOTES = 3
MAX_NOTES = 1_000
MAX_SUMMARY_CHARS = 1_500
BATCH_EVENTS = 5_000
WAIT_S = 1.0
AWAY_WAIT_S = 2.0
SUMMARY_TIMEOUT_S = 60.0
MAX_TEXT_CHARS = 32_000
"""Of what somebody else's summariser says."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")

_ENDS = (AgentTerminated.name, SessionEnded.name)

logger = logging.getLogger(__name__)


class Note(Struct, frozen=True):
    """What an agent wrote down, and how much it meant."""

    text: str
    importance: float


Summariser = Callable[[Sequence[Note]], str]


def extract(notes: Sequence[Note]) -> str:
    """The sentences whose words most other sentences have too, in the order in which they were written."""
    sentences = [
        (each.strip(), note.importance)
        for note in notes
        for each in _SENTENCE.split(note.text)
        if each.strip()
    ]
    words = [frozenset(terms(text).all) for text, _ in sentences]
    having = Counter(word for each in words for word in each)
    scores = [
        (0.5 + importance) * sum(having[word] - 1 for word in each) / (len(each) or 1) ** 0.5
        for (_, importance), each in zip(sentences, words, strict=True)
    ]
    chosen, said, length = set[int](), set[frozenset[str]](), 0
    for index in sorted(range(len(sentences)), key=lambda place: -scores[place]):
        text, size = sentences[index][0], len(sentences[index][0]) + 1
        if length + size <= MAX_SUMMARY_CHARS and words[index] not in said:
            chosen.add(index)
            said.add(words[index])
            length += len(text) + 1
    return "\n".join(sentences[index][0] for index in sorted(chosen)) or notes[0].text[:MAX_SUMMARY_CHARS]


def summariser(named: str | None) -> Summariser:
    """The extractive one, or the function of `module:function`. Raises InvalidConfig."""
    if named is None:
        return extract
    module, _, name = named.partition(":")
    try:
        found: Summariser = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        expected = "module:function, of a module that can be imported"
        raise InvalidConfig(variable="COORD_SUMMARISER", expected=expected, given=named) from error
    return found


async def told(summarise: Summariser, notes: Sequence[Note]) -> str:
    """What the summariser makes of notes; their own sentences, if it does not."""
    try:
        text = await asyncio.wait_for(asyncio.to_thread(summarise, notes), SUMMARY_TIMEOUT_S)
        return text.strip()[:MAX_TEXT_CHARS] or extract(notes)
    except Exception:  # it may be anybody's code, and must not end the summaries of others
        logger.exception("the summariser failed")
        return extract(notes)


class Summaries:
    """Hears of sessions and agents that end, and makes one of each one's notes."""

    def __init__(
        self, log: EventLog, codec: Codec, reads: Reads, url: str, nats_url: str, summarise: Summariser
    ) -> None:
        self._log = log
        self._codec = codec
        self._reads = reads
        self._url = url
        self._nats_url = nats_url
        self._summarise = summarise
        self._stored = 0

    async def run(self, stop: asyncio.Event, leading: Callable[[], bool]) -> None:
        """Work until told to stop, while this process is the one that leads."""
        pause_s = WAIT_S
        while not await either(stop, pause_s):
            pause_s = WAIT_S
            if not leading():
                continue
            try:
                await self.catch_up()
            except CoordError as error:
                logger.warning("notes are summarised later: %s", error)
                pause_s = AWAY_WAIT_S

    async def catch_up(self) -> None:
        """Summarise for all who ended until now. The first time there is nobody to begin with."""
        head = await asyncio.to_thread(self._log.head)
        done = await asyncio.to_thread(self._done)
        if done is None or done > head:
            await asyncio.to_thread(self._advance, head)
            return
        while rows := await asyncio.to_thread(self._log.read, done, BATCH_EVENTS, until=head):
            for row in rows:
                if row[3].partition("@")[0] in _ENDS:
                    recorded = self._codec.decode(row)
                    await self.end(recorded.project, recorded.event, recorded.position)
            done = rows[-1][0]
            await asyncio.to_thread(self._advance, done)

    async def end(self, project: str, event: Event, position: int) -> str | None:
        """Make one of the notes of whoever ended, if they are enough; the id of the summary."""
        assert isinstance(event, SessionEnded | AgentTerminated)
        session = event.session if isinstance(event, SessionEnded) else None
        rows = await asyncio.to_thread(self._notes, project, event.agent, session, position)
        if len(rows) < LEAST_NOTES:
            return None
        fields: Item = {
            "text": await told(self._summarise, [Note(row["text"], row["importance"]) for row in rows]),
            "kind": SUMMARY,
            "importance": max(row["importance"] for row in rows),
            "tags": _several(tag for row in rows for tag in row["tags"])[:31],
            "supersedes": [row["memory"] for row in rows],
        }
        sessions = _several(row["session"] for row in rows if row["session"])
        if len(sessions) == 1:
            fields["session"] = sessions[0]
        async with Caller(self._nats_url, project, SUMMARISER) as caller:
            name = f"summary-{event.entity}-{position}"
            try:
                answer = await caller.ask("memory.store", fields, command_id=name)
            except Refused as error:
                if error.retryable:
                    raise
                logger.warning("the notes of %s in %s stay as they are: %s", event.agent, project, error)
                return None
        self._stored = max(self._stored, answer.position)
        return str(answer.result["id"])

    def _notes(self, project: str, agent: str, session: str | None, position: int) -> list[Item]:
        """The agent's current notes, of one session if it is named, in order.

        None if the project wants no summaries. What the last summary took the place of is no longer among
        them: an agent's sessions end right before it.
        """
        self._reads.wait_for(max(position, self._stored), AWAY_WAIT_S)
        settings = self._reads.read(project, SETTINGS.name)
        if not all(row["value"] for row in settings if row["key"] == "memory_summaries"):
            return []
        asked = {
            "agent": agent, "kind": NOTE, "status": "current", "visibility": "project", "limit": MAX_NOTES,
            **({} if session is None else {"session": session}),
        }  # fmt: skip
        return self._reads.read(project, MEMORIES_VIEW.name, asked)[::-1]

    def _done(self) -> int | None:
        with connected(self._url) as connection:
            return tables.progress(connection, tables.SUMMARIES, CODE)

    def _advance(self, position: int) -> None:
        with connected(self._url) as connection:
            tables.advance(connection, tables.SUMMARIES, CODE, position)


def _several(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))
