"""Damages to the log, the stream and the rows of a sound history. The stream follows the log."""

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from services.prove.evidence import Logged, ViewRow
from services.prove.selftest_history import AGENTS, History, streamed

Damage = Callable[[History, Random], None]
"""Plants a violation into the history, in place, somewhere by chance."""


def pick(history: History, random: Random, *names: str) -> int:
    """The place in the log of some event of one of these names."""
    return random.choice([n for n, event in enumerate(history.log) if _name(event) in names])


def changed(event: Logged, *, data: dict[str, Any] | None = None, **body: Any) -> Logged:
    """The event with other fields in its data, or in its envelope."""
    return replace(event, body={**event.body, **body, "data": {**event.body["data"], **(data or {})}})


def relog(history: History, log: list[Logged]) -> None:
    """Another log, and the stream that a relay makes of it."""
    history.log, history.stream = log, streamed(log)


def put(history: History, place: int, event: Logged) -> None:
    """Another event in the place of one."""
    relog(history, [*history.log[:place], event, *history.log[place + 1 :]])


def add(history: History, event: Logged) -> None:
    """One more event at the end of the log and of its project."""
    last = [each for each in history.log if each.project == event.project][-1]
    position = history.log[-1].position + 1
    at = history.log[-1].body["at"] if "at" not in event.body else event.body["at"]
    added = changed(replace(event, position=position, sequence=last.sequence + 1), at=at)
    relog(history, [*history.log, added])


def command_of(event: Logged) -> tuple[str, str, str]:
    return event.project, event.body["actor"], event.body["command_id"]


def two_holders(history: History, random: Random) -> None:
    place = pick(history, random, "task.progressed", "task.started")
    event = history.log[place]
    data = event.body["data"]
    claim = {
        "task": data["task"],
        "agent": _other(random, data["agent"]),
        "fence": data["fence"] + 1,
        "brief": 1,
        "attempt": 1,
        "lease_s": 30.0,
        "lease_until": event.body["at"],
    }
    body = {**event.body, "actor": claim["agent"], "command_id": "planted", "data": claim}
    put(history, place, replace(event, topic="task.claimed@1", body=body))


def stale_write(history: History, random: Random) -> None:
    """The holder before writes once more, after somebody else got the task."""
    place = pick(history, random, "task.progressed", "task.started", "task.failed", "task.released")
    event = history.log[place]
    other = _other(random, event.body["data"]["agent"])
    fence = event.body["data"]["fence"] - 1
    put(history, place, changed(event, data={"agent": other, "fence": fence}, actor=other))


def foreign_completion(history: History, random: Random) -> None:
    place = pick(history, random, "task.completed")
    other = _other(random, history.log[place].body["data"]["agent"])
    put(history, place, changed(history.log[place], data={"agent": other}, actor=other))


def ended_while_holding(history: History, random: Random) -> None:
    place = pick(history, random, "task.progressed")
    event = history.log[place]
    agent = event.body["data"]["agent"]
    body = {**event.body, "entity": agent, "data": {"agent": agent, "reason": "planted"}}
    put(history, place, replace(event, topic="agent.terminated@1", body=body))


def completed_twice(history: History, random: Random) -> None:
    event = history.log[pick(history, random, "task.completed")]
    add(history, changed(event, command_id="planted"))


def never_completed(history: History, random: Random) -> None:
    """The completion became another event of the same agent."""
    place = pick(history, random, "task.completed")
    put(history, place, replace(history.log[place], topic="task.progressed@1"))


def fence_reused(history: History, random: Random) -> None:
    place = _later_claim(history, random)
    fence = history.log[place].body["data"]["fence"]
    put(history, place, changed(history.log[place], data={"fence": fence - 1}))


def fence_back(history: History, random: Random) -> None:
    place = _later_claim(history, random)
    put(history, place, changed(history.log[place], data={"fence": 0}))


def applied_twice(history: History, random: Random) -> None:
    """A command brings its events about again, much later."""
    event = history.log[pick(history, random, "task.progressed", "task.enqueued", "task.released")]
    add(history, event)


def applied_twice_at_once(history: History, random: Random) -> None:
    """A command brings its event about twice, one after the other; all that follows moves on by one."""
    place = pick(history, random, "task.progressed", "task.enqueued", "task.released")
    again = history.log[place]
    later = [
        replace(
            event,
            position=event.position + 1,
            sequence=event.sequence + (1 if event.project == again.project else 0),
        )
        for event in history.log[place:]
    ]
    relog(history, [*history.log[: place + 1], *later])


def unasked_command(history: History, random: Random) -> None:
    """An agent's command has events, but no agent asked for it."""
    place = pick(history, random, "task.progressed", "task.released")
    put(history, place, changed(history.log[place], command_id="planted"))


def lost_acknowledged(history: History, random: Random) -> None:
    """All events of a command are gone; the numbers of the others show the hole."""
    gone = command_of(history.log[_acknowledged(history, random)])
    relog(history, [event for event in history.log if command_of(event) != gone])


def lost_and_renumbered(history: History, random: Random) -> None:
    """All events of a command are gone, and the sequences after them close the hole."""
    lost_acknowledged(history, random)
    last: dict[str, int] = {}
    log = []
    for event in history.log:
        last[event.project] = last.get(event.project, 0) + 1
        log.append(replace(event, sequence=last[event.project]))
    relog(history, log)


def lost_end(history: History, random: Random) -> None:
    relog(history, history.log[: -random.randint(20, 60)])


def hole_in_sequence(history: History, random: Random) -> None:
    place = random.randrange(len(history.log) // 2)
    project = history.log[place].project
    log = [
        replace(event, sequence=event.sequence + 1) if n >= place and event.project == project else event
        for n, event in enumerate(history.log)
    ]
    relog(history, log)


def positions_back(history: History, random: Random) -> None:
    place = random.randrange(1, len(history.log))
    one, other = history.log[place - 1 : place + 1]
    swapped = [replace(one, position=other.position), replace(other, position=one.position)]
    relog(history, [*history.log[: place - 1], *swapped, *history.log[place + 1 :]])


def stream_lacks(history: History, random: Random) -> None:
    del history.stream[random.randrange(len(history.stream))]


def stream_lacks_end(history: History, random: Random) -> None:
    del history.stream[-random.randint(1, 20) :]


def stream_doubles(history: History, random: Random) -> None:
    place = random.randrange(len(history.stream))
    history.stream.insert(place, history.stream[place])
    _renumber_stream(history)


def stream_reorders(history: History, random: Random) -> None:
    place = random.randrange(1, len(history.stream))
    one, other = history.stream[place - 1 : place + 1]
    history.stream[place - 1 : place + 1] = [other, one]
    _renumber_stream(history)


def stream_changes(history: History, random: Random) -> None:
    place = random.randrange(len(history.stream))
    message = history.stream[place]
    history.stream[place] = replace(message, body={**message.body, "actor": "nobody"})


def stream_unchained(history: History, random: Random) -> None:
    place = random.randrange(1, len(history.stream))
    message = history.stream[place]
    history.stream[place] = replace(message, previous=message.previous - 1)


def row_status(history: History, random: Random) -> None:
    _change_row(history, random, "queue", status="claimed")


def row_holder(history: History, random: Random) -> None:
    _change_row(history, random, "queue", holder=random.choice(AGENTS))


def row_fence(history: History, random: Random) -> None:
    _change_row(history, random, "queue", fence=1_000)


def row_missing(history: History, random: Random) -> None:
    del history.rows[_row(history, random, "queue")]


def row_extra(history: History, random: Random) -> None:
    row = history.rows[_row(history, random, "queue")].row
    history.rows.append(ViewRow(view="queue", row={**row, "task": "t-planted"}))


def agent_row(history: History, random: Random) -> None:
    _change_row(history, random, "agents", tasks=["t-planted"])


def handoff_row(history: History, random: Random) -> None:
    _change_row(history, random, "handoffs", status="initiated")


def _change_row(history: History, random: Random, view: str, **fields: Any) -> None:
    place = _row(history, random, view)
    history.rows[place] = ViewRow(view=view, row={**history.rows[place].row, **fields})


def _row(history: History, random: Random, view: str) -> int:
    return random.choice([n for n, row in enumerate(history.rows) if row.view == view])


def _renumber_stream(history: History) -> None:
    history.stream = [replace(message, stream_sequence=n) for n, message in enumerate(history.stream, 1)]


def _acknowledged(history: History, random: Random) -> int:
    """The place of an event whose command was told to be carried out."""
    asked = {(ask.project, ask.actor, ask.id) for ask, reply in history.exchanges() if "sequence" in reply}
    return random.choice([n for n, event in enumerate(history.log) if command_of(event) in asked])


def _later_claim(history: History, random: Random) -> int:
    """A claim that is not its task's first."""
    claims = [n for n, event in enumerate(history.log) if _name(event) == "task.claimed"]
    return random.choice([n for n in claims if history.log[n].body["data"]["fence"] > 1])


def _other(random: Random, agent: str) -> str:
    return random.choice([name for name in AGENTS if name != agent])


def _name(event: Logged) -> str:
    return event.topic.partition("@")[0]


LOG_DAMAGES: tuple[tuple[str, str, Damage], ...] = (
    ("a task is claimed while somebody holds it", "one-holder", two_holders),
    ("a write under an old fence is taken", "one-holder", stale_write),
    ("a task is completed by somebody who does not hold it", "one-holder", foreign_completion),
    ("an agent ends with a task in its hands", "one-holder", ended_while_holding),
    ("a task is completed twice", "finished", completed_twice),
    ("a planned task is never completed", "finished", never_completed),
    ("a fence is given twice", "fences", fence_reused),
    ("a fence goes back", "fences", fence_back),
    ("a command is applied again later", "once", applied_twice),
    ("a command is applied twice in a row", "once", applied_twice_at_once),
    ("something happens that nobody asked for", "once", unasked_command),
    ("an acknowledged write is lost", "acknowledged", lost_acknowledged),
    ("an acknowledged write is lost, the log renumbered", "acknowledged", lost_and_renumbered),
    ("the end of the log is lost", "acknowledged", lost_end),
    ("a project's sequences have a hole", "log-order", hole_in_sequence),
    ("positions go back", "log-order", positions_back),
    ("an event is missing from the stream", "stream", stream_lacks),
    ("the stream ends too early", "stream", stream_lacks_end),
    ("an event stands in the stream twice", "stream", stream_doubles),
    ("two events of the stream are in the wrong order", "stream", stream_reorders),
    ("an event of the stream has another body", "stream", stream_changes),
    ("an event of the stream follows a wrong one", "stream", stream_unchained),
    ("a row has a wrong status", "rows", row_status),
    ("a row has a wrong holder", "rows", row_holder),
    ("a row has a wrong fence", "rows", row_fence),
    ("a row is missing", "rows", row_missing),
    ("a row is too many", "rows", row_extra),
    ("an agent's row holds a task too many", "rows", agent_row),
    ("a handoff's row has a wrong status", "rows", handoff_row),
)
