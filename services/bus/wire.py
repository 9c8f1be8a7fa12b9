"""What travels on NATS: subjects, payloads and replies, checked and translated. Pure; connects to nothing."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from domain.catalog import COMMANDS
from domain.errors import CoordError
from domain.messages import SYSTEM_PROJECT, Command
from domain.results import lightened
from services.errors import BadInput, BadName, PayloadTooLarge, UnknownVerb

COMMAND_SUBJECTS = "coord.*.cmd.*.*.*"
VIEW_SUBJECTS = "coord.*.get.*"
MAX_PAYLOAD_BYTES = 256 * 1024
MAX_RESULT_BYTES = 900 * 1024
"""Of a command's answer; NATS servers let 1 MiB through, unless they are told otherwise."""

MAX_NESTING_LEVELS = 64

COMMAND_ID_HEADER = "Nats-Msg-Id"
CORRELATION_HEADER = "Coord-Correlation-Id"
CAUSATION_HEADER = "Coord-Causation-Id"
TRACE_HEADER = "traceparent"

NAME_PATTERN = "(?!_)[A-Za-z0-9_-]{1,64}"
ID_PATTERN = "[!-~]{1,128}"
TRACE_PATTERN = "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{0,72})?"

_NAME = re.compile(rf"{NAME_PATTERN}|{SYSTEM_PROJECT}")
_ID = re.compile(ID_PATTERN)
_REPLY = re.compile(r"[!-~]{1,512}")
_TRACE = re.compile(TRACE_PATTERN)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_DECODERS: Mapping[str, msgspec.json.Decoder[Command]] = {
    name: msgspec.json.Decoder(command) for name, command in COMMANDS.items()
}
_ENCODER = msgspec.json.Encoder()


class Address(Struct, frozen=True, gc=False):
    """Who asks what, where: all of it from the subject."""

    project: str
    actor: str
    verb: str


class Reply(Struct, omit_defaults=True, gc=False):
    """The answer to a command that was carried out."""

    ok: bool
    position: int
    result: msgspec.Raw | dict[str, Any]
    sequence: int | None = None


def command_subject(project: str, actor: str, verb: str) -> str:
    """`verb` is the command's name, as in `task.claim`."""
    return f"coord.{project}.cmd.{actor}.{verb}"


def inbox(actor: str) -> str:
    """What every reply subject of this actor starts with; an answer goes nowhere else."""
    return f"_INBOX.{actor}."


def may_answer(reply: str, start: str = "_INBOX.") -> bool:
    """Whether this reply subject is one below `start` that can be published to: in print, and no pattern."""
    if not reply.startswith(start) or not _REPLY.fullmatch(reply):
        return False
    return not any(token in ("", "*", ">") for token in reply.split("."))


def parse_subject(subject: str) -> Address:
    """Raises BadName; the names are checked, the verb is not."""
    _, project, _, actor, context, verb = subject.split(".")
    check_name("project", project)
    check_name("actor", actor)
    return Address(project, actor, f"{context}.{verb}")


def check_name(kind: str, name: str) -> None:
    """Raises BadName."""
    if not _NAME.fullmatch(name):
        raise BadName(kind=kind, name=name)


def parse_command(verb: str, payload: bytes) -> Command:
    """Raises UnknownVerb, PayloadTooLarge or BadInput."""
    decoder = _DECODERS.get(verb)
    if decoder is None:
        raise UnknownVerb(verb=verb, verbs=", ".join(sorted(COMMANDS)))
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLarge(size=len(payload), limit=MAX_PAYLOAD_BYTES)
    check_json(verb, payload)
    try:
        return decoder.decode(payload or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(verb=verb, why=str(error)) from error


def check_json(verb: str, payload: bytes) -> None:
    """Refuse what JSON allows and the log or the tables could not hold. Raises BadInput."""
    if holds_nul(payload):
        raise BadInput(verb=verb, why="text with a NUL character cannot be stored")
    if (
        payload.count(b"[") + payload.count(b"{") > MAX_NESTING_LEVELS
        and _depth(payload) > MAX_NESTING_LEVELS
    ):
        raise BadInput(verb=verb, why=f"it nests deeper than {MAX_NESTING_LEVELS} levels")


def holds_nul(content: bytes) -> bool:
    """Is there a NUL character in a text of this JSON? Postgres has no place for it."""
    return b"u0000" in content and _NUL.search(content) is not None


def parse_id(headers: Mapping[str, str] | None, header: str) -> str | None:
    """An id from the headers, or None. Raises BadInput if it is not one."""
    value = headers.get(header) if headers else None
    if value is not None and not _ID.fullmatch(value):
        raise BadInput(verb=header, why="an id is 1 to 128 printable characters without spaces")
    return value


def parse_trace(headers: Mapping[str, str] | None) -> str | None:
    """The trace that the headers name, as W3C writes it; anything else is left out."""
    value = headers.get(TRACE_HEADER) if headers else None
    return value if value is not None and _TRACE.fullmatch(value) else None


def encode_reply(reply: Reply) -> bytes:
    return _ENCODER.encode(reply)


def encode_result(result: dict[str, Any]) -> msgspec.Raw:
    """The result; of tasks that are too long to be sent together, the longest without what they are about."""
    told = _ENCODER.encode(result)
    if len(told) > MAX_RESULT_BYTES:
        told = _ENCODER.encode(lightened(result, lambda part: len(_ENCODER.encode(part)), MAX_RESULT_BYTES))
    return msgspec.Raw(told)


def encode_error(error: CoordError) -> bytes:
    """`{"ok": false, "error": {code, message, retryable, and the facts}}`."""
    facts = {"code": error.code, "message": str(error), "retryable": error.retryable}
    return _ENCODER.encode({"ok": False, "error": {**error.facts, **facts}})


def _depth(payload: bytes) -> int:
    """How deep brackets nest outside of strings; exact for valid JSON."""
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", payload)
    depth = deepest = 0
    for byte in bare:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest
