"""Sends an operator's commands: those that the console has buttons for, and no others.

They go the way of the HTTP API: checked against the role of who is logged in, under an id that the page made,
so that a click that is repeated is done once. It reads who holds a task, and changes nothing but by commands.
"""

import asyncio
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec

from domain.errors import UnknownTask, WrongState
from services.access.roles import EVERY, verbs_of
from services.bus.wire import COMMAND_ID_HEADER, command_subject, parse_command, parse_id
from services.console.actions import LABELS, OF_THE_PAST, done_words
from services.errors import UnknownVerb
from services.gateway.asking import Asker
from services.gateway.denials import Forbidden
from services.gateway.entry import Holder
from services.log.event_log import EventLog
from services.reading.reads import NotYetVisible, Reads

TURN_WAIT_S = 60.0
"""How long a fork or a restore of a long history may take."""

SEEN_WAIT_S = 1.0
"""How long a release waits for the tables to tell of what happened last."""

RELEASE = "task.release"


def may(holder: Holder, project: str, *, frozen: bool) -> frozenset[str]:
    """What somebody may do in a project to what is shown now, or to a moment of the past."""
    if not holder.may_see(project):
        return frozenset()
    allowed = {*verbs_of(holder.role, all_projects=EVERY in holder.token.projects)} & LABELS.keys()
    if holder.role != "operator":
        allowed.discard(RELEASE)  # it is sent for the task's holder
    return frozenset(allowed & OF_THE_PAST if frozen else allowed - OF_THE_PAST)


async def sent(
    asker: Asker,
    log: EventLog,
    reads: Reads,
    holder: Holder,
    project: str,
    verb: str,
    body: bytes,
    key: str | None,
) -> bytes:
    """Have a command carried out; what came of it as JSON, with a sentence `says`.

    Raises UnknownVerb, Forbidden, BadInput, or what Asker.ask does.
    """
    if verb not in LABELS:
        raise UnknownVerb(verb=verb, verbs=", ".join(LABELS))
    holder.check_verb(project, verb)
    parse_command(verb, body)
    fields: dict[str, Any] = msgspec.json.decode(body or b"{}")
    actor = holder.actor
    if verb == RELEASE:
        actor, fields = await asyncio.to_thread(_for_the_holder, log, reads, holder, project, fields)
    command_id = parse_id({COMMAND_ID_HEADER: key} if key else None, COMMAND_ID_HEADER) or uuid4().hex
    answer = await asker.ask(
        command_subject(project, actor, verb),
        msgspec.json.encode(fields),
        {COMMAND_ID_HEADER: command_id},
        TURN_WAIT_S if verb in OF_THE_PAST else 0.0,
    )
    unchanged = bool(answer.result.get("unchanged"))
    return msgspec.json.encode(
        {
            "position": answer.position,
            "sequence": answer.sequence,
            "result": answer.result,
            "says": done_words(verb, fields, project, unchanged=unchanged),
        }
    )


def _for_the_holder(
    log: EventLog, reads: Reads, holder: Holder, project: str, fields: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Who holds the task, in whose name it is released, and the fields with a reason that names who asked.

    Raises Forbidden, UnknownTask or WrongState.
    """
    if holder.role != "operator":
        raise Forbidden(why="Only an operator may release what another holds")
    task = fields["task"]
    with suppress(NotYetVisible):  # the fence tells if somebody else holds it by now
        reads.wait_for(log.project_head(project)[1], SEEN_WAIT_S)
    rows = reads.read(project, "queue", {"entity": task})
    if not rows:
        raise UnknownTask(task=task)
    if rows[0]["holder"] is None:
        raise WrongState(task=task, status=rows[0]["status"], allowed="held by an agent")
    why = fields.get("reason", "")
    reason = f"released by operator {holder.actor}" + (f": {why}" if why else "")
    return rows[0]["holder"], {**fields, "reason": reason}
