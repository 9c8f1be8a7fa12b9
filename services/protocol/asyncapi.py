"""The AsyncAPI 3.0 document: what coordctl receives, answers and sends on NATS. Pure.

It is written from coordctl's side: commands and reads are received and answered, events are sent.
"""

from inspect import cleandoc
from typing import Any

from domain.catalog import COMMANDS, EVENTS
from services.bus.wire import MAX_NESTING_LEVELS, MAX_PAYLOAD_BYTES, NAME_PATTERN
from services.doors.views import QUEUE
from services.protocol.schemas import (
    COMMAND_HEADERS,
    ERROR,
    EVENT_HEADERS,
    answer_name,
    event_name,
    reference,
    reply_name,
    schemas,
)
from services.reading.reads import view_names, view_params

Node = dict[str, Any]

VERSION = "3.0.0"
REPLIES = "replies"

_ABOUT = f"""\
How agents and coordctl talk over NATS: commands, reads and events, all of them JSON. docs/protocol.md tells
it in order, with examples.

A request has at most {MAX_PAYLOAD_BYTES} bytes and {MAX_NESTING_LEVELS} levels of nesting. The project and
the actor are those of the subject. Answers go only to subjects below `_INBOX.`, those to commands only to
subjects below `_INBOX.<actor>.`.
"""


def document(version: str) -> Node:
    """The whole document; `version` is coordctl's."""
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "coordctl",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"nats": _server()},
        "channels": {**_command_channels(), **_event_channels(), **_view_channels(), REPLIES: _replies()},
        "operations": {**_commands(), **_events(), **_reads()},
        "components": {"schemas": schemas(), "messages": _messages(), "parameters": _parameters()},
    }


def command_name(command: str) -> str:
    """What the channel, the operation and the message of a command are called."""
    return f"command.{command}"


def view_name(view: str) -> str:
    """What the channel, the operation and the message of a read are called."""
    return f"view.{view}"


def _server() -> Node:
    return {
        "host": "{host}:{port}",
        "protocol": "nats",
        "description": "`coordctl status` tells the address of a running system.",
        "variables": {"host": {"default": "127.0.0.1"}, "port": {"default": "4222"}},
    }


def _command_channels() -> Node:
    return {
        command_name(command): _channel(
            f"coord.{{project}}.cmd.{{actor}}.{command}", ["project", "actor"], command_name(command)
        )
        for command in COMMANDS
    }


def _event_channels() -> Node:
    return {
        event_name(event): _channel(
            f"coord.{{project}}.evt.{event}.{{entity}}", ["project", "entity"], event_name(event)
        )
        for event in EVENTS
    }


def _view_channels() -> Node:
    return {
        view_name(view): _channel(f"coord.{{project}}.get.{view}", ["project"], view_name(view))
        for view in view_names()
    }


def _channel(address: str, parameters: list[str], message: str) -> Node:
    return {
        "address": address,
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in parameters},
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
    }


def _replies() -> Node:
    """Where answers go is known only when a request comes."""
    names = [*map(reply_name, COMMANDS), *map(answer_name, view_names()), ERROR]
    return {
        "address": None,
        "description": "The reply subject of the request.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }


def _commands() -> Node:
    return {
        command_name(command): _answered(command_name(command), reply_name(command), _says(kind))
        for command, kind in COMMANDS.items()
    }


def _reads() -> Node:
    return {
        view_name(view): {
            **_answered(view_name(view), answer_name(view), f"Read the view `{view}`."),
            "bindings": {"nats": {"queue": QUEUE}},
        }
        for view in view_names()
    }


def _events() -> Node:
    return {
        event_name(event): {
            "action": "send",
            "channel": {"$ref": f"#/channels/{event_name(event)}"},
            "summary": f"Tell that {event} has happened.",
        }
        for event in EVENTS
    }


def _answered(name: str, reply: str, summary: str) -> Node:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": summary,
        "reply": {
            "channel": {"$ref": f"#/channels/{REPLIES}"},
            "messages": [{"$ref": f"#/channels/{REPLIES}/messages/{each}"} for each in (reply, ERROR)],
        },
    }


def _messages() -> Node:
    found = {
        **{command_name(name): _message(kind.__name__, COMMAND_HEADERS) for name, kind in COMMANDS.items()},
        **{event_name(name): _message(event_name(name), EVENT_HEADERS) for name in EVENTS},
        **{view_name(name): _message(view_params(name).__name__) for name in view_names()},
    }
    for name in (*map(reply_name, COMMANDS), *map(answer_name, view_names()), ERROR):
        found[name] = _message(name)
    return {name: {"name": name, **message} for name, message in found.items()}


def _message(payload: str, headers: str | None = None) -> Node:
    return {**({"headers": reference(headers)} if headers else {}), "payload": reference(payload)}


def _parameters() -> Node:
    name = f"It matches `{NAME_PATTERN}`."
    return {
        "project": {"description": f"The project. {name}"},
        "actor": {"description": f"Who asks. {name}"},
        "entity": {"description": "What the event is about; it may have dots, and so several tokens."},
    }


def _says(kind: type) -> str:
    return cleandoc(kind.__doc__ or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")
