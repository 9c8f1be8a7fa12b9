"""What a session delegated and did: its tasks with what came back, and its history. It only reads."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from domain.errors import NotFound
from domain.messages import Data
from projections.queue import QUEUE
from services.landing.gathering import MAX_TEXT_CHARS
from services.landing.params import MAX_TASKS, Delegated, Entry, Kind, OfSessionParams
from services.reading.reads import Item
from services.reading.travel import Travel

MAX_INPUT_BYTES = 2_000
MAX_ENTRIES = 10_000
"""Of each kind; what is older is left out."""

_OF_TASKS = ("task.", "handoff.")


def audit(travel: Travel, project: str, position: int, params: OfSessionParams) -> list[Delegated]:
    """The tasks that a session delegated, as they stood at a position. Raises NotFound."""
    _session(travel, project, position, params.session)
    asked = {"session": params.session, "limit": params.limit, "offset": params.offset}
    names = [row["task"] for row in travel.view(project, "delegations", position, asked)]
    rows = travel.rows(QUEUE, project, position, [(project, name) for name in names])
    return [_delegated(rows[project, name]) for name in names if (project, name) in rows]


def history(travel: Travel, project: str, position: int, params: OfSessionParams) -> list[Entry]:
    """All that belongs to a session up to a position, in order. Raises NotFound."""
    session = _session(travel, project, position, params.session)
    entries = sorted(_entries(travel, project, position, session), key=lambda each: (each.at, each.id))
    return entries[params.offset : params.offset + params.limit]


def _session(travel: Travel, project: str, position: int, name: str) -> Item:
    found = travel.view(project, "sessions", position, {"entity": name})
    if not found:
        raise NotFound(kind="session", id=name)
    return found[0]


def _entries(travel: Travel, project: str, position: int, session: Item) -> Iterator[Entry]:
    def read(view: str, **params: Any) -> list[Item]:
        return travel.view(project, view, position, {"limit": MAX_ENTRIES, **params})

    def meanwhile(**params: Any) -> list[Item]:
        """What happened until the session ended, the latest of it: what came after must not crowd it out."""
        ended = session["ended_sequence"]
        until = position if ended is None else travel.position_at(project, ended)
        return travel.view(project, "activity", until, {"limit": MAX_ENTRIES, **params})

    name = session["session"]
    for row in _happened(read, meanwhile, session):
        kind: Kind = "session" if row["entity"] == name else "task"
        yield _entry(kind, row["at"], row["entity"], row["actor"], row["words"])
    for row in read("actions", session=name):
        failed = "" if row["success"] else f" failed: {row['error']}"
        words = f"{row['phase']} {row['action']}{failed}".strip()
        yield _entry("action", row["recorded_at"], row["batch"], row["agent"], words)
    for row in read("memories", session=name):
        words = f"{row['kind']}: {row['text']}"
        yield _entry("memory", row["stored_at"], row["memory"], row["agent"], words)
    for row in read("decisions", session=name):
        words = f"{row['title']}: {row['choice']}"
        yield _entry("decision", row["decided_at"], row["decision"], row["decided_by"], words)
    for row in read("failures", session=name):
        words = f"{row['feature']}: {row['approach']} failed: {row['why']}"
        yield _entry("failure", row["recorded_at"], row["failure"], row["recorded_by"], words)
    for row in read("spikes", session=name):
        if row["session"] == name:
            words = f"began to try: {row['question']}"
            yield _entry("spike", row["initiated_at"], row["spike"], row["initiated_by"], words)
        if row["concluded_session"] == name:
            end = "a way to go" if row["viable"] else "no way to go"
            words = f"{row['question']}: {row['result']} ({end})"
            yield _entry("spike", row["concluded_at"], row["spike"], row["concluded_by"], words)


def _happened(
    read: Callable[..., list[Item]], meanwhile: Callable[..., list[Item]], session: Item
) -> Iterable[Item]:
    """What befell the session and what it delegated; its task, and what its agent did to tasks, meanwhile."""
    name = session["session"]
    tasks = [row["task"] for row in read("delegations", session=name, limit=MAX_TASKS)]
    found = {row["position"]: row for row in read("activity", entity=[name, *tasks])}
    done = [row for row in meanwhile(actor=session["agent"]) if row["event"].startswith(_OF_TASKS)]
    if session["task"]:
        done += meanwhile(entity=[session["task"]])
    return (found | {row["position"]: row for row in done if row["sequence"] >= session["sequence"]}).values()


def _entry(kind: Kind, at: datetime, name: str, by: str, words: str) -> Entry:
    return Entry(at=at, kind=kind, id=name, by=by, words=_short(words))


def _delegated(row: Any) -> Delegated:
    return Delegated(
        task=row.task,
        title=row.title,
        asked=_short(row.description),
        input=_small(row.input),
        status=row.status,
        agent=row.completed_by or row.holder,
        result=_small(row.result),
        error=_short(row.error),
        attempts=row.attempt,
        seconds=round(row.worked_s, 3),
        enqueued_at=row.enqueued_at,
        finished_at=row.finished_at,
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"


def _small(value: Data) -> Data:
    """Data as they are, if they are small; else the beginning of their JSON."""
    text = msgspec.json.encode(value)
    if len(text) <= MAX_INPUT_BYTES:
        return value
    return text[:MAX_INPUT_BYTES].decode(errors="ignore") + "…"
