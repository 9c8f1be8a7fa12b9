"""What a session delegated and did: its tasks with what came back, and its history. It only reads."""

from collections.abc import Iterator
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

    name = session["session"]
    tasks = [row["task"] for row in read("delegations", session=name, limit=MAX_TASKS)]
    own = [session["task"]] if session["task"] else []
    for row in read("activity", entity=[name, *tasks, *own]):
        ended = session["ended_sequence"]
        if row["entity"] in own and not session["sequence"] <= row["sequence"] <= (ended or row["sequence"]):
            continue  # it befell the task before or after
        kind: Kind = "session" if row["entity"] == name else "task"
        yield Entry(at=row["at"], kind=kind, id=row["entity"], by=row["actor"], words=row["words"])
    for row in read("actions", session=name):
        failed = "" if row["success"] else f" failed: {row['error']}"
        words = f"{row['phase']} {row['action']}{failed}".strip()
        yield Entry(
            at=row["recorded_at"], kind="action", id=row["batch"], by=row["agent"], words=_short(words)
        )
    for row in read("memories", session=name):
        words = f"{row['kind']}: {row['text']}"
        yield Entry(
            at=row["stored_at"], kind="memory", id=row["memory"], by=row["agent"], words=_short(words)
        )
    for row in read("decisions", agent=session["agent"]):
        until = session["ended_at"] or row["decided_at"]
        if session["started_at"] <= row["decided_at"] <= until:
            words = f"{row['title']}: {row['choice']}"
            yield Entry(
                at=row["decided_at"],
                kind="decision",
                id=row["decision"],
                by=row["decided_by"],
                words=_short(words),
            )


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
