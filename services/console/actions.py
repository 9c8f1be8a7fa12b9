"""What an operator can do to what a page shows, and what will come of it, told before it is done. Pure.

Each action is a command of the domain; what may be done when is the domain's to decide, and this only offers
what has a chance. The words here are the ones of the confirmation.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from domain.settings import PROJECT_SETTINGS, USER_SETTINGS

Item = Mapping[str, Any]

LABELS: Mapping[str, str] = {
    "task.cancel": "Cancel",
    "task.requeue": "Release",
    "task.reprioritize": "Reprioritize",
    "task.retry": "Retry",
    "agent.terminate": "Terminate",
    "setting.set": "Change",
    "setting.unset": "Back to the default",
    "project.restore": "Restore to here",
    "project.fork": "Fork from here",
}
"""Every command that the console sends, and what its button says."""

OF_THE_PAST = frozenset({"project.restore", "project.fork"})
"""What can be done to a moment of the past; all else is done to the present."""

_FINISHED = ("completed", "cancelled")
_NAMED = 5


class Action(Struct, frozen=True):
    """A button: the command, what it is about as KIND:NAME, and what it says."""

    verb: str
    about: str
    label: str


class Field(Struct, frozen=True, kw_only=True):
    """What the operator still has to say. A `json` value is written as JSON."""

    name: str
    label: str
    kind: Literal["text", "number", "json", "choice", "name"]
    value: str = ""
    required: bool = False
    choices: Sequence[str] = ()
    least: float | None = None
    most: float | None = None
    whole: bool = False


class Confirmation(Struct, frozen=True, kw_only=True):
    """What is asked before a command is sent: what will happen, and which fields it takes beside `body`.

    `project` is the one that the command goes to; if it is empty, the field of this name says.
    """

    verb: str
    title: str
    told: Sequence[str]
    button: str
    body: Item
    project: str
    fields: Sequence[Field] = ()
    grave: bool = False


REASON = Field(name="reason", label="Reason", kind="text")


def offered(kind: str, row: Item, may: frozenset[str]) -> list[Action]:
    """The actions that have a chance with a task or an agent as it is, of those that are allowed."""
    name = row[kind]
    verbs = _of_task(row) if kind == "task" else _of_agent(row)
    return [Action(verb, f"{kind}:{name}", LABELS[verb]) for verb in verbs if verb in may]


def _of_task(row: Item) -> list[str]:
    if row["status"] in _FINISHED:
        return []
    verbs = ["task.reprioritize"]
    if row["holder"]:
        verbs.append("task.requeue")
    if row["status"] in ("failed", "dead"):
        verbs.append("task.retry")
    return [*verbs, "task.cancel"]


def _of_agent(row: Item) -> list[str]:
    return [] if row["status"] == "terminated" else ["agent.terminate"]


def of_task(verb: str, project: str, row: Item, dependents: Sequence[str]) -> Confirmation:
    """What a command about a task will do. `dependents` are those that wait for it."""
    task = row["task"]
    asked: dict[str, Any] = {"verb": verb, "project": project, "body": {"task": task}}
    named = f"{task}, “{row['title']}”"
    match verb:
        case "task.cancel":
            return Confirmation(
                title=f"Cancel {named}?", told=_cancelled(row, dependents), button="Cancel the task",
                fields=[REASON], grave=True, **asked,
            )  # fmt: skip
        case "task.requeue":
            return Confirmation(
                title=f"Release {named}?", told=_released(row), button="Release it", fields=[REASON], **asked
            )
        case "task.reprioritize":
            field = Field(
                name="priority", label="New priority", kind="number", value=str(row["priority"]),
                required=True, least=-1000, most=1000, whole=True,
            )  # fmt: skip
            told = [f"Its priority is {row['priority']}. Higher ones are claimed first, the older of equals."]
            return Confirmation(
                title=f"Reprioritize {named}?", told=told, button="Set the priority", fields=[field], **asked
            )
        case _:
            return Confirmation(title=f"Retry {named}?", told=_retried(row), button="Retry it", **asked)


def _cancelled(row: Item, dependents: Sequence[str]) -> list[str]:
    told = ["It leaves the queue for good; a cancelled task cannot be brought back."]
    if row["holder"]:
        told.append(f"{row['holder']} loses its lease at once, and is told so when it next speaks of it.")
    if row["handoff"]:
        told.append("Its open handoff is closed.")
    if dependents:
        told.append(
            f"{_several(dependents)} will go on waiting for it: cancel those too, or they stay blocked."
        )
    return told


def _released(row: Item) -> list[str]:
    told = [
        f"The lease of {row['holder']} under fence {row['fence']} ends, and the task can be claimed again;"
        " it costs no attempt.",
    ]
    if row["handoff"]:
        told.append("Its open handoff is closed.")
    return told


def _retried(row: Item) -> list[str]:
    if row["status"] == "dead":
        times = "once" if row["failures"] == 1 else f"{row['failures']} times"
        return [f"It is revived with all its attempts; it failed {times}."]
    return ["It can be claimed again at once, and need not rest after its failure."]


def of_agent(project: str, row: Item) -> Confirmation:
    """What ending an agent will do."""
    agent, tasks = row["agent"], row["tasks"]
    told = [f"{agent} ends. It can change nothing any more until it is spawned again."]
    if tasks:
        told.append(f"{_several(tasks)}, which it holds, can be claimed by others; that costs no attempt.")
    told.append("What it offered or was offered is closed.")
    return Confirmation(
        verb="agent.terminate", title=f"Terminate {agent}, a {row['persona']} agent?", told=told,
        button="Terminate it", project=project, body={"agent": agent}, fields=[REASON], grave=True,
    )  # fmt: skip


def of_setting(verb: str, project: str, row: Item, shown: str) -> Confirmation:
    """What changing a setting will do. `shown` is its value as JSON."""
    scope, user, key = row["scope"], row["user"], row["key"]
    body: dict[str, Any] = {"key": key, "scope": scope, **({"user": user} if user else {})}
    whose = f" of {user}" if user else ""
    told = [f"It is {shown} now ({row['source']})."]
    if row["meaning"]:
        told.append(f"It says {row['meaning']}.")
    if verb == "setting.unset":
        told.append("Its default holds again.")
        return Confirmation(
            verb=verb, title=f"Take {key}{whose} back to its default?", told=told,
            button="Back to the default", project=project, body=body,
        )  # fmt: skip
    field, rule = _value_field(scope, key, row["value"], shown)
    if rule:
        told.append(f"It must be {rule}.")
    return Confirmation(
        verb=verb, title=f"Change {key}{whose}?", told=told, button="Change it", project=project, body=body,
        fields=[field],
    )  # fmt: skip


def _value_field(scope: str, key: str, value: Any, shown: str) -> tuple[Field, str]:
    """How a setting's new value is asked for, and the rule for it in words."""
    known = (USER_SETTINGS if scope == "user" else PROJECT_SETTINGS).get(key)
    asked: dict[str, Any] = {"name": "value", "label": "New value", "required": True}
    if known is None:
        return Field(kind="json", value=shown, **asked), ""
    if known.choices:
        return Field(kind="choice", value=str(value), choices=known.choices, **asked), known.expected
    if known.type is bool:
        return Field(kind="json", value=shown, choices=("true", "false"), **asked), known.expected
    if known.type is str:
        return Field(kind="text", value=str(value), **asked), known.expected
    bounds: dict[str, Any] = {"least": known.least, "most": known.most, "whole": known.type is int}
    return Field(kind="number", value=shown, **bounds, **asked), known.expected


def of_moment(verb: str, project: str, sequence: int, head: int, told_event: str) -> Confirmation:
    """What going back to a moment, or beginning anew from it, will do. `told_event` is its event in words."""
    moment = f"event #{sequence}: {told_event}"
    if verb == "project.fork":
        name = Field(name="project", label="Name of the new project", kind="name", required=True)
        return Confirmation(
            verb=verb, title=f"Fork {project} at #{sequence}?", button="Fork it", project="",
            told=[
                f"A new project begins as {project} was right after {moment}",
                "Its agents and their leases are not alive there: spawn who is to work in it.",
                f"Nothing that is done in the fork reaches {project}.",
            ],
            body={"origin": project, "sequence": sequence}, fields=[name, REASON],
        )  # fmt: skip
    since = head - sequence
    return Confirmation(
        verb=verb, title=f"Restore {project} to #{sequence}?", button="Restore it", project=project,
        told=[
            f"{project} becomes what it was right after {moment}",
            "The one event since then stays in the log, and counts no more."
            if since == 1
            else f"The {since:,} events since then stay in the log, and count no more.",
            "All agents are terminated, and all leases with them; each is told why when it speaks next.",
            f"A restore to #{head} takes it back.",
        ],
        body={"sequence": sequence}, grave=True,
        fields=[Field(name="reason", label="Reason", kind="text", required=True)],
    )  # fmt: skip


def done_words(verb: str, body: Item, project: str, *, unchanged: bool) -> str:
    """What came of a command, in a sentence."""
    if unchanged:
        return "It was so already; nothing was changed."
    task, agent, key = body.get("task"), body.get("agent"), body.get("key")
    return {
        "task.cancel": f"{task} is cancelled.",
        "task.requeue": f"{task} is back in the queue.",
        "task.reprioritize": f"{task} has priority {body.get('priority')}.",
        "task.retry": f"{task} is back in the queue.",
        "agent.terminate": f"{agent} is terminated.",
        "setting.set": f"{key} is changed.",
        "setting.unset": f"{key} is what it is by default.",
        "project.restore": f"{project} is what it was right after #{body.get('sequence')}.",
        "project.fork": f"{project} begins as {body.get('origin')} was right after #{body.get('sequence')}.",
    }[verb]


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    more = len(names) - _NAMED
    return f"{shown} and {more} more" if more > 0 else shown
