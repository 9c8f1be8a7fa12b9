"""Sends an operator's commands: those that the console has buttons for, and no others.

They go the way of the HTTP API: checked against the role of who is logged in, under an id that the page made,
so that a click that is repeated is done once.
"""

from typing import Any
from uuid import uuid4

import msgspec

from services.access.roles import EVERY, verbs_of
from services.bus.wire import COMMAND_ID_HEADER, command_subject, parse_command, parse_id
from services.console.actions import LABELS, OF_THE_PAST, done_words
from services.errors import UnknownVerb
from services.gateway.asking import Asker
from services.gateway.entry import Holder

TURN_WAIT_S = 60.0
"""How long a fork or a restore of a long history may take."""


def may(holder: Holder, project: str, *, frozen: bool) -> frozenset[str]:
    """What somebody may do in a project to what is shown now, or to a moment of the past."""
    if not holder.may_see(project):
        return frozenset()
    allowed = {*verbs_of(holder.role, all_projects=EVERY in holder.token.projects)} & LABELS.keys()
    return frozenset(allowed & OF_THE_PAST if frozen else allowed - OF_THE_PAST)


async def sent(
    asker: Asker,
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
    command_id = parse_id({COMMAND_ID_HEADER: key} if key else None, COMMAND_ID_HEADER) or uuid4().hex
    answer = await asker.ask(
        command_subject(project, holder.actor, verb),
        body,
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
