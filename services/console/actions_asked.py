"""The confirmation of an action, from what it is about as it stands now. Reads only."""

from collections.abc import Mapping

import msgspec

from domain.errors import NotFound
from projections.words import words
from services.console.actions import LABELS, Confirmation, of_agent, of_moment, of_setting, of_task
from services.console.detail_seen import Seen
from services.errors import BadInput
from services.log.history import History
from services.reading.reads import Item

MAX_DEPENDENTS = 100


def confirmation(seen: Seen, params: Mapping[str, str]) -> Confirmation:
    """What the command `verb` will do to `about`, as in task:t-x. Raises BadInput or NotFound."""
    verb, (kind, _, name) = params.get("verb", ""), params.get("about", "").partition(":")
    if verb not in LABELS or not name:
        raise BadInput(verb="an action", why=f"it is one of {', '.join(LABELS)}, about KIND:NAME")
    match verb.partition(".")[0]:
        case "task":
            row = _row(seen, "queue", "task", name)
            waiting = [task for task, _ in seen.dependents([name], MAX_DEPENDENTS)]
            still = [each.task for each in seen.tasks(waiting).values() if each.status == "blocked"]
            return of_task(verb, seen.project, row, sorted(still))
        case "agent":
            return of_agent(seen.project, _row(seen, "agents", "agent", name))
        case "setting":
            row = _setting(seen, kind, name)
            return of_setting(verb, seen.project, row, msgspec.json.encode(row["value"]).decode())
        case _:
            return _moment(seen, verb, name)


def _row(seen: Seen, view: str, kind: str, name: str) -> Item:
    rows = seen.view(view, entity=name, limit=1)
    if not rows:
        raise NotFound(kind=kind, id=name)
    return rows[0]


def _setting(seen: Seen, scope: str, name: str) -> Item:
    """`name` is a key, or of a user's setting USER:KEY."""
    user, _, key = name.rpartition(":")
    params = {"user": user} if user else {}
    for row in seen.view("settings", entity=key, **params):
        if row["scope"] == scope and row["user"] == user:
            return row
    raise NotFound(kind="setting", id=name)


def _moment(seen: Seen, verb: str, name: str) -> Confirmation:
    """Of a sequence inside of what one command did, the end of that: nothing is left half done."""
    if not name.isdecimal() or not 1 <= int(name[:18]) <= seen.head:
        raise NotFound(kind="event", id=f"#{name}")
    _, position = seen.log.project_head(seen.project)  # the rest of the command may stand after the moment
    history = History(seen.log, seen.codec, seen.travel, seen.project, position)
    recorded = history.event(int(name))
    last = max([recorded, *history.beside(recorded)], key=lambda each: each.sequence)
    told = f"{words(last)} ({last.at:%Y-%m-%d %H:%M:%S} UTC)."
    return of_moment(verb, seen.project, last.sequence, seen.head, told)
