"""Memories: what agents keep for later, until a newer one takes its place or nobody needs it any more.

Importance grows with each use that is told (`grown`) and fades with the time since (`strength`). Fading is
reckoned when somebody looks: only that a faded memory was archived is an event, which the ticker brings
about. The ledger knows the current memories alone, and what they may become is decided from that.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from math import log2
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, assert_never

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.errors import InvalidCommand, MemoryPrivate, UnknownMemory
from domain.messages import Command, Context, Event, Key, Name, TaskId, Text
from domain.timers import Timer

if TYPE_CHECKING:
    from domain.ledger import Ledger

NOTE = "note"
"""The kind of what an agent writes down as it goes; a session's notes are summarised into one at its end."""

SUMMARY = "summary"

MAX_NAMED_MEMORIES = 1_000
MAX_SHARES = 100
LIMIT_SHARE = 100
"""At the limit the weakest hundredth is archived at once, so that not every store looks for the weakest."""

GAIN_PER_USE = 0.1
LEAST_SWEEP_S = 3_600.0
MOST_SWEEP_S = 86_400.0
"""Between two looks for faded memories; a changed setting tells within the longer one."""

NEVER = datetime.max.replace(tzinfo=UTC)

_SWEEP: Timer = ("memory", "")
_DAY_S = 86_400.0

Visibility = Literal["private", "project", "shared"]
Importance = Annotated[float, Constraint(ge=0, le=1)]
Named = Annotated[tuple[Key, ...], Constraint(min_length=1, max_length=MAX_NAMED_MEMORIES)]


class StoreMemory(Command, frozen=True, kw_only=True):
    """Keep a fact or a note; it takes the place of those it supersedes, which stay in the past."""

    name: ClassVar[str] = "memory.store"

    text: Annotated[Text, Constraint(min_length=1)]
    kind: Key = NOTE
    importance: Importance = 0.5
    tags: Annotated[tuple[Key, ...], Constraint(max_length=32)] = ()
    visibility: Visibility = "project"
    task: TaskId | None = None
    session: Key | None = None
    supersedes: Annotated[tuple[Key, ...], Constraint(max_length=MAX_NAMED_MEMORIES)] = ()


class Used(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A memory that was of use, so many times."""

    memory: Key
    times: Annotated[int, Constraint(ge=1, le=1_000)] = 1


class UseMemories(Command, frozen=True, kw_only=True):
    """Tell which memories were of use; many at once, as after a piece of work."""

    name: ClassVar[str] = "memory.use"

    uses: Annotated[tuple[Used, ...], Constraint(min_length=1, max_length=MAX_NAMED_MEMORIES)]


class ArchiveMemories(Command, frozen=True, kw_only=True):
    """Put memories away: they are found only by those who ask for archived ones."""

    name: ClassVar[str] = "memory.archive"

    memories: Named
    reason: Annotated[str, Constraint(max_length=500)] = ""


class ShareMemory(Command, frozen=True, kw_only=True):
    """Let another agent recall a private memory, or another project one of this project."""

    name: ClassVar[str] = "memory.share"

    memory: Key
    to_agent: Name | None = None
    to_project: Name | None = None


class ArchiveFaded(Command, frozen=True, kw_only=True):
    """Archive what has faded. Asked by the ticker alone."""

    name: ClassVar[str] = "memory.fade"


class MemoryStored(Event, frozen=True, kw_only=True):
    """`agent` is whose memory it is."""

    name: ClassVar[str] = "memory.stored"

    memory: str
    agent: str
    text: str
    kind: str
    importance: float
    visibility: Visibility
    tags: tuple[str, ...] = ()
    task: str | None = None
    session: str | None = None
    supersedes: tuple[str, ...] = ()

    @property
    def entity(self) -> str:
        return self.memory


class MemorySuperseded(Event, frozen=True, kw_only=True):
    """`by` is the memory that is believed from now on."""

    name: ClassVar[str] = "memory.superseded"

    memory: str
    by: str

    @property
    def entity(self) -> str:
        return self.memory


class Gain(Struct, frozen=True, gc=False):
    """What uses made of a memory: how many they were, and the importance it has now."""

    memory: str
    times: int
    importance: float


class MemoriesUsed(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "memory.used"

    gains: tuple[Gain, ...]

    @property
    def entity(self) -> str:
        return self.gains[0].memory


class MemoriesArchived(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "memory.archived"

    memories: tuple[str, ...]
    reason: str = ""

    @property
    def entity(self) -> str:
        return self.memories[0]


class MemoryShared(Event, frozen=True, kw_only=True):
    """With an agent of the project, or with another project."""

    name: ClassVar[str] = "memory.shared"

    memory: str
    to_agent: str | None = None
    to_project: str | None = None

    @property
    def entity(self) -> str:
        return self.memory


class Memory(Struct, gc=False):
    """A current memory; `touched` is when it was stored or used last. `shared` are agents and projects."""

    agent: str
    importance: float
    touched: datetime
    private: bool = False
    shared: frozenset[tuple[str, str]] = frozenset()


MemoryCommand = StoreMemory | UseMemories | ArchiveMemories | ShareMemory | ArchiveFaded
AskedMemoryCommand = StoreMemory | UseMemories | ArchiveMemories | ShareMemory
AnyMemoryEvent = MemoryStored | MemorySuperseded | MemoriesUsed | MemoriesArchived | MemoryShared


def grown(importance: float, times: int) -> float:
    """The importance after so many uses: each takes away a part of what is missing to 1."""
    return 1 - (1 - importance) * float((1 - GAIN_PER_USE) ** times)


def strength(importance: float, touched: datetime, now: datetime, half_life_days: float) -> float:
    """What is left of an importance: half of it after each half-life without use."""
    age_days = max(0.0, (now - touched).total_seconds()) / _DAY_S
    return importance * float(2 ** (-age_days / half_life_days))


def decide(ledger: "Ledger", command: MemoryCommand, context: Context) -> tuple[Event, ...]:
    match command:
        case StoreMemory():
            return _store(ledger, command, context)
        case UseMemories():
            return _use(ledger, command, context)
        case ArchiveMemories():
            for name in command.memories:
                _own(ledger, name, context.actor)
            memories = tuple(dict.fromkeys(command.memories))
            return (MemoriesArchived(memories=memories, reason=command.reason),)
        case ShareMemory():
            return _share(ledger, command, context)
        case ArchiveFaded():
            faded = _faded(ledger, context.at)
            groups = (
                faded[first : first + MAX_NAMED_MEMORIES]
                for first in range(0, len(faded), MAX_NAMED_MEMORIES)
            )
            return tuple(MemoriesArchived(memories=tuple(group), reason="faded") for group in groups)
        case _:
            assert_never(command)


def _store(ledger: "Ledger", command: StoreMemory, context: Context) -> tuple[Event, ...]:
    superseded = tuple(dict.fromkeys(command.supersedes))
    for name in superseded:
        _own(ledger, name, context.actor)
    stored = MemoryStored(
        memory=context.new_id("m"),
        agent=context.actor,
        text=command.text,
        kind=command.kind,
        importance=command.importance,
        tags=tuple(dict.fromkeys(command.tags)),
        visibility=command.visibility,
        task=command.task,
        session=ledger.session_of(context.actor, command.session),
        supersedes=superseded,
    )
    replaced = (MemorySuperseded(memory=name, by=stored.memory) for name in superseded)
    return (stored, *replaced, *_shared_on(ledger, stored), *_make_room(ledger, superseded, context.at))


def _shared_on(ledger: "Ledger", stored: MemoryStored) -> Iterator[MemoryShared]:
    """Whoever had a memory has the one in its place; but not one that stands for several."""
    if len(stored.supersedes) != 1:
        return
    old = ledger.memories[stored.supersedes[0]]
    for kind, name in sorted(old.shared | {("agent", old.agent)}):
        if kind == "project" and stored.visibility != "shared":
            yield MemoryShared(memory=stored.memory, to_project=name)
        elif kind == "agent" and stored.visibility == "private" and name != stored.agent:
            yield MemoryShared(memory=stored.memory, to_agent=name)


def _make_room(ledger: "Ledger", leaving: Sequence[str], now: datetime) -> tuple[Event, ...]:
    """Archive the weakest, if one more would be more than there may be."""
    limit = int(ledger.setting("max_memories"))
    excess = len(ledger.memories) - len(leaving) + 1 - limit
    if excess <= 0:
        return ()
    half_life_days = float(ledger.setting("memory_half_life_days"))
    left = ((name, each) for name, each in ledger.memories.items() if name not in leaving)
    ranked = ((strength(each.importance, each.touched, now, half_life_days), name) for name, each in left)
    weakest = nsmallest(min(max(excess, limit // LIMIT_SHARE), MAX_NAMED_MEMORIES), ranked)
    memories = tuple(name for _, name in weakest)
    return (MemoriesArchived(memories=memories, reason="max_memories"),) if memories else ()


def _use(ledger: "Ledger", command: UseMemories, context: Context) -> tuple[Event, ...]:
    times: dict[str, int] = {}
    for used in command.uses:
        times[used.memory] = times.get(used.memory, 0) + used.times
    gains = []
    for name, count in times.items():
        known = _own(ledger, name, context.actor)
        gains.append(Gain(name, count, grown(known.importance, count)))
    return (MemoriesUsed(gains=tuple(gains)),)


def _share(ledger: "Ledger", command: ShareMemory, context: Context) -> tuple[Event, ...]:
    if (command.to_agent is None) == (command.to_project is None):
        raise InvalidCommand(why="A memory is shared with an agent or with a project: name one of them.")
    known = _own(ledger, command.memory, context.actor)
    if command.to_project == ledger.project:
        raise InvalidCommand(why="A memory is shared with another project; this one has it.")
    if _target(command) in known.shared:
        return ()
    if len(known.shared) >= MAX_SHARES:
        raise InvalidCommand(why=f"A memory is shared with {MAX_SHARES} at most.")
    shared = MemoryShared(memory=command.memory, to_agent=command.to_agent, to_project=command.to_project)
    return (shared,)


def _own(ledger: "Ledger", name: str, actor: str) -> Memory:
    """A current memory that the actor may change. Raises UnknownMemory or MemoryPrivate."""
    known = ledger.memories.get(name)
    if known is None:
        raise UnknownMemory(memory=name)
    if known.private and actor != known.agent and ("agent", actor) not in known.shared:
        raise MemoryPrivate(memory=name, agent=known.agent)
    return known


def _target(shared: ShareMemory | MemoryShared) -> tuple[str, str]:
    return ("agent", shared.to_agent) if shared.to_agent else ("project", shared.to_project or "")


def has_faded(ledger: "Ledger", now: datetime) -> bool:
    """Whether there is anything to archive; if not, when to look again is set."""
    soonest = _soonest(ledger)
    if soonest is not None and soonest > now:
        ledger.timers.set("memory", "", _in_bounds(soonest, now))
    return soonest is not None and soonest <= now


def _faded(ledger: "Ledger", now: datetime) -> list[str]:
    fades_at = _fading(ledger)
    return sorted(name for name, each in ledger.memories.items() if fades_at(each) <= now)


def _soonest(ledger: "Ledger") -> datetime | None:
    return min(map(_fading(ledger), ledger.memories.values()), default=None)


def _fading(ledger: "Ledger") -> Callable[[Memory], datetime]:
    """Tells when a memory will be too weak to be kept, if nobody uses it; the settings are looked up once."""
    below = float(ledger.setting("memory_archive_below"))
    half_life_days = float(ledger.setting("memory_half_life_days"))

    def fades_at(memory: Memory) -> datetime:
        if not below:
            return NEVER
        halvings = log2(max(memory.importance / below, 1))
        return memory.touched + timedelta(days=half_life_days * halvings)

    return fades_at


def _watch(ledger: "Ledger", soonest: datetime | None, now: datetime) -> None:
    """See to it that somebody looks when the next memory fades."""
    if soonest is None:
        return
    moment = _in_bounds(soonest, now)
    if moment < ledger.timers.due.get(_SWEEP, NEVER):
        ledger.timers.set("memory", "", moment)


def _in_bounds(moment: datetime, now: datetime) -> datetime:
    least, most = now + timedelta(seconds=LEAST_SWEEP_S), now + timedelta(seconds=MOST_SWEEP_S)
    return min(max(moment, least), most)


def evolve(ledger: "Ledger", event: AnyMemoryEvent, at: datetime) -> None:
    match event:
        case MemoryStored():
            stored = Memory(event.agent, event.importance, at, private=event.visibility == "private")
            ledger.memories[event.memory] = stored
            _watch(ledger, _fading(ledger)(stored), at)
        case MemorySuperseded():
            ledger.memories.pop(event.memory, None)
        case MemoriesUsed():
            for gain in event.gains:
                used = ledger.memories[gain.memory]
                used.importance, used.touched = gain.importance, at
        case MemoriesArchived():
            for name in event.memories:
                ledger.memories.pop(name, None)
            if _SWEEP not in ledger.timers.due:  # it was a look that found them
                _watch(ledger, _soonest(ledger), at)
        case MemoryShared():
            ledger.memories[event.memory].shared |= {_target(event)}
        case _:
            assert_never(event)
