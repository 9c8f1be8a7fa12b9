"""JSON Schemas of everything that travels, made from the Structs that read and write it. Pure.

A schema refers to others by `#/components/schemas/<name>`, as in the AsyncAPI document; `alone` makes one
that stands in a file of its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from domain.catalog import COMMANDS, EVENTS
from services.bus.wire import (
    CAUSATION_HEADER,
    COMMAND_ID_HEADER,
    CORRELATION_HEADER,
    ID_PATTERN,
    TRACE_HEADER,
    TRACE_PATTERN,
)
from services.log.codec import Body
from services.protocol.refusals import Refusal, refusals
from services.protocol.results import told_by
from services.protocol.rows import ROWS
from services.reading.reads import view_names, view_params
from services.relay.stream import POSITION, PREVIOUS, SEQUENCE

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/components/schemas/"

COMMAND_HEADERS = "headers.command"
EVENT_HEADERS = "headers.event"
ERROR = "error"

_LARGEST = 2**63 - 1
_PLACE = {"type": "integer", "minimum": 0, "maximum": _LARGEST}
_ID = {"type": "string", "pattern": f"^{ID_PATTERN}$"}
_NUMBER = {"type": "string", "pattern": "^[0-9]+$"}


def schemas() -> dict[str, Schema]:
    """All schemas by name: those of Structs, and what the messages are made of."""
    results = {kind for command in COMMANDS for kind in told_by(command)}
    kinds = [
        *COMMANDS.values(), *EVENTS.values(), *sorted(results, key=lambda kind: kind.__name__),
        *(view_params(view) for view in view_names()), *(ROWS[view] for view in view_names()),
    ]  # fmt: skip
    _, found = msgspec.json.schema_components(kinds, ref_template=REFERENCE + "{name}")
    found |= {event_name(event): _event(event) for event in EVENTS}
    found |= {reply_name(command): _reply(command) for command in COMMANDS}
    found |= {answer_name(view): _answer(view) for view in view_names()}
    found |= {error_name(code): _refusal(refusal) for code, refusal in refusals().items()}
    found |= {ERROR: _error(), **_headers()}
    return {name: found[name] for name in sorted(found)}


def event_name(event: str) -> str:
    """The schema of an event as it is published."""
    return f"event.{event}"


def reply_name(command: str) -> str:
    """The schema of what a command's caller is told when it was carried out."""
    return f"reply.{command}"


def answer_name(view: str) -> str:
    """The schema of what a view answers with."""
    return f"rows.{view}"


def error_name(code: str) -> str:
    """The schema of the `error` in an answer of this code."""
    return f"error.{code}"


def reference(name: str) -> Schema:
    return {"$ref": REFERENCE + name}


def alone(name: str, among: Mapping[str, Schema]) -> Schema:
    """The schema of this name with all that it refers to, as a document of its own."""
    needed: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        each = waiting.pop()
        if each not in needed:
            needed[each] = among[each]
            waiting += _referred(among[each])
    others = {each: _moved(needed[each]) for each in sorted(needed) if each != name}
    return {"$schema": DIALECT, **_moved(needed[name]), **({"$defs": others} if others else {})}


def together(among: Mapping[str, Schema]) -> Schema:
    """All of them as one document, each under `$defs`."""
    return {"$schema": DIALECT, "$defs": {name: _moved(among[name]) for name in among}}


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value.removeprefix(REFERENCE)
            else:
                yield from _referred(value)
    elif isinstance(node, list):
        for each in node:
            yield from _referred(each)


def _moved(node: Any) -> Any:
    """The same with its references to `$defs` of the document."""
    if isinstance(node, dict):
        return {
            key: f"#/$defs/{value.removeprefix(REFERENCE)}" if key == "$ref" else _moved(value)
            for key, value in node.items()
        }
    return [_moved(each) for each in node] if isinstance(node, list) else node


def _event(event: str) -> Schema:
    """An event's body: who, when and on whose behalf, with its own fields under `data`."""
    _, parts = msgspec.json.schema_components([Body[dict[str, Any]]])
    (body,) = parts.values()
    data = reference(EVENTS[event].__name__)
    body.pop("description")
    return {**body, "title": event, "properties": {**body["properties"], "data": data}}


def _reply(command: str) -> Schema:
    told = [reference(kind.__name__) for kind in told_by(command)]
    return {
        "title": f"{command} carried out",
        "type": "object",
        "properties": {
            "ok": {"const": True},
            "position": {
                **_PLACE,
                "description": "Of its last event, or of the log's if it had none.",
            },
            "sequence": {**_PLACE, "description": "Of its last event, in the project."},
            "result": told[0] if len(told) == 1 else {"anyOf": told},
        },
        "required": ["ok", "position", "result"],
    }


def _answer(view: str) -> Schema:
    return {
        "title": f"rows of {view}",
        "type": "object",
        "properties": {
            "ok": {"const": True},
            "position": {**_PLACE, "description": "Up to where the rows include the log's events."},
            "result": {"type": "array", "items": reference(ROWS[view].__name__)},
        },
        "required": ["ok", "position", "result"],
    }


def _refusal(refusal: Refusal) -> Schema:
    return {
        "title": refusal.code,
        "description": refusal.says,
        "type": "object",
        "properties": {
            "code": {"const": refusal.code},
            "message": {"type": "string"},
            "retryable": {"const": refusal.retryable},
            **{fact: {} for fact in refusal.facts},
        },
        "required": ["code", "message", "retryable", *refusal.facts],
    }


def _error() -> Schema:
    return {
        "title": "refused",
        "type": "object",
        "properties": {
            "ok": {"const": False},
            ERROR: {"anyOf": [reference(error_name(code)) for code in refusals()]},
        },
        "required": ["ok", ERROR],
    }


def _headers() -> dict[str, Schema]:
    trace = {"type": "string", "pattern": f"^{TRACE_PATTERN}$", "description": "As W3C Trace Context has it."}
    return {
        COMMAND_HEADERS: {
            "type": "object",
            "properties": {
                COMMAND_ID_HEADER: {
                    **_ID, "description": "The command's id: repeated under it, a command is done once."
                },
                CORRELATION_HEADER: {**_ID, "description": "Kept in the command's events."},
                CAUSATION_HEADER: {**_ID, "description": "Kept in the command's events."},
                TRACE_HEADER: trace,
            },
        },
        EVENT_HEADERS: {
            "type": "object",
            "properties": {
                POSITION: {**_NUMBER, "description": "Its place in the log: it grows, with gaps."},
                SEQUENCE: {**_NUMBER, "description": "Its place in its project: without gaps, from 1."},
                PREVIOUS: {**_NUMBER, "description": "The position of the event before it in the log."},
                TRACE_HEADER: {**trace, "description": "The relay's span, if it makes any."},
            },
            "required": [POSITION, SEQUENCE, PREVIOUS],
        },
    }  # fmt: skip
