"""The OpenAPI 3.1 document of the HTTP API, made from the Structs that read and write what travels. Pure."""

from collections.abc import Mapping
from functools import cache

import msgspec

from domain.catalog import COMMANDS
from domain.messages import Command, Name
from projections.views import MAX_POINT_CHARS
from services.bus.wire import MAX_PAYLOAD_BYTES
from services.gateway.advice import ADVICE, ADVISED, Advice
from services.gateway.entry import ACTOR_HEADER, KEY_HEADER, KEY_PATTERN
from services.gateway.pages import DATED, EVENTS_VIEW, LIMIT_ROWS, MAX_LIMIT_ROWS
from services.gateway.problems import MEDIA_TYPE, Problem
from services.protocol.results import told_by
from services.protocol.rows import ROWS
from services.protocol.schemas import REFERENCE, Schema, reference
from services.reading.reads import view_names, view_params
from services.recall.params import MAX_HITS, USUAL_HITS
from services.recall.params import VIEW as RECALL
from services.recall.sources import BY_NAME

VERSION = "3.1.0"

_LARGEST = 2**63 - 1
_PLACE: Schema = {"type": "integer", "minimum": 0, "maximum": _LARGEST}
_REPLACED = {"limit", "offset", "as_of"}
"""What lists over HTTP take in their own way: they go on by a cursor."""

_WHY: Mapping[int, str] = {
    400: "The request is not what this address takes.",
    401: "There is no token, or it holds no more.",
    403: "The token is not for this project, its role not for this, or the request comes from another site.",
    404: "What is named does not exist.",
    408: "The body did not arrive in time.",
    409: "Understood and refused: it does not fit what is true now. Nothing was changed.",
    413: f"The body has more than {MAX_PAYLOAD_BYTES} bytes.",
    415: "The body is not JSON.",
    421: "The gateway does not go by the name in the Host header.",
    429: "This token asks too often, or too much at once.",
    431: "Address and headers are too long.",
    500: "A fault of coordctl.",
    503: "Not now; the same request may be sent again.",
    504: "No answer in time; send the same again under the same key to learn what became of it.",
}
_READS = (400, 401, 403, 404, 409, 413, 421, 429, 431, 500, 503, 504)
_SENDS = (*_READS, 408, 415)


@cache
def document() -> Schema:
    """The whole document, ready for JSON."""
    return {
        "openapi": VERSION,
        "info": {
            "title": "coordctl",
            "version": "1",
            "description": "Commands, lists and events of coordctl for those who have only HTTP."
            f" A body has at most {MAX_PAYLOAD_BYTES} bytes, and no text in it a NUL character.",
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": {
            **{_path(command): {"post": _command(command)} for command in COMMANDS.values()},
            **{f"/api/{{project}}/{view}": {"get": _list(view)} for view in view_names()},
            "/api/{project}/stream": {"get": _stream()},
            "/api/openapi.json": {"get": _self()},
        },
        "components": {
            "schemas": _schemas(),
            "parameters": {"project": _project(), "key": _key(), "actor": _actor(), ADVICE: _advice()},
            "responses": {str(status): _refusal(status) for status in sorted(_SENDS)},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "As `coordctl access token create` prints it: coord_<id>_<secret>.",
                }
            },
        },
    }


def _path(command: type[Command]) -> str:
    return f"/api/{{project}}/{command.name.replace('.', '/')}"


def _command(command: type[Command]) -> Schema:
    required = any(field.required for field in msgspec.structs.fields(command))
    told = [reference(kind.__name__) for kind in told_by(command.name)]
    told_too = {ADVICE: reference(Advice.__name__)} if command.name in ADVISED else {}
    return {
        "operationId": command.name,
        "tags": [command.name.partition(".")[0]],
        "summary": (command.__doc__ or "").partition("\n")[0],
        "parameters": [_part(name) for name in ("project", "key", "actor", *told_too)],
        "requestBody": {
            "required": required,
            "content": {"application/json": {"schema": reference(command.__name__)}},
        },
        "responses": {
            "200": _answer(
                "It was carried out, now or when it was sent first.",
                {
                    "position": {
                        **_PLACE,
                        "description": "Of its last event, or of the log's if it had none.",
                    },
                    "sequence": {
                        "anyOf": [_PLACE, {"type": "null"}],
                        "description": "Of its last event, in the project.",
                    },
                    "result": told[0] if len(told) == 1 else {"anyOf": told},
                },
                optional=told_too,
            ),
            **_refusals(_SENDS),
        },
    }


def _list(view: str) -> Schema:
    return {
        "operationId": f"list.{view}",
        "tags": ["lists"],
        "summary": (ROWS[view].__doc__ or "").partition("\n")[0],
        "parameters": [_part("project"), *_parameters(view)],
        "responses": {
            "200": _answer(
                "A page, and where the next one begins.",
                {
                    "position": {**_PLACE, "description": "Up to where the rows include the log's events."},
                    "result": {"type": "array", "items": reference(ROWS[view].__name__)},
                    "next": {
                        "type": ["string", "null"],
                        "description": "The `cursor` of the next page; null if there is none."
                        + (" Of events an empty page is the last." if view == EVENTS_VIEW else ""),
                    },
                },
                {"Link": {"schema": {"type": "string"}, "description": "The next page, as rel=next."}},
            ),
            **_refusals(_READS),
        },
    }


def _parameters(view: str) -> list[Schema]:
    """The view's own, and those that page and date it."""
    (schema,), parts = msgspec.json.schema_components([view_params(view)], ref_template=REFERENCE + "{name}")
    own = parts[schema["$ref"].removeprefix(REFERENCE)]
    if view == RECALL:
        own["properties"]["source"]["items"] = {"enum": [*BY_NAME]}
    found = [
        _query(name, each, required=name in own.get("required", ()))
        for name, each in own["properties"].items()
        if name not in _REPLACED
    ]
    most, usual = (MAX_HITS, USUAL_HITS) if view == RECALL else (MAX_LIMIT_ROWS, LIMIT_ROWS)
    found.append(_query("limit", {"type": "integer", "minimum": 1, "maximum": most, "default": usual}))
    if view in DATED:
        found.append(_query("as_of", _point()))
    cursor = _query("cursor", {"type": "string"})
    cursor["description"] = "What `next` said; everything else as in the request before."
    return [*found, cursor]


def _query(name: str, schema: Schema, *, required: bool = False) -> Schema:
    """A parameter; several values go with commas between, and one that is left out lets all pass."""
    told = dict(schema)
    if {"type": "null"} in told.get("anyOf", ()):
        (choice,) = (each for each in told.pop("anyOf") if each != {"type": "null"})
        told |= choice
    if not told.get("default", True) and told.get("type") not in ("integer", "number"):
        del told["default"]
    several = {"style": "form", "explode": False} if told.get("type") == "array" else {}
    if several:
        told["minItems"] = 1
    return {"name": name, "in": "query", "required": required, **several, "schema": told}


def _point() -> Schema:
    """The points that services/reading/points.py knows, as far as a pattern can tell them."""
    span = r"[0-9]{1,12} ?(s|m|h|d|w|seconds?|minutes?|hours?|days?|weeks?)"
    return {
        "anyOf": [
            {"type": "string", "pattern": "^#?[0-9]{1,18}$"},
            {"type": "string", "format": "date-time"},
            {"type": "string", "pattern": f"^{span}( ?{span}){{0,3}} ago$"},
            {"type": "string", "pattern": "^bookmark:[A-Za-z][A-Za-z0-9_-]{0,63}$"},
            {"const": "now"},
        ],
        "maxLength": MAX_POINT_CHARS,
        "description": "A position (1234), a sequence (#56), a time, '5 minutes ago', a bookmark, or now.",
    }


def _stream() -> Schema:
    place = [("after", "The sequence"), ("after_position", "The position")]
    resumed = {"name": "Last-Event-ID", "in": "header", "required": False, "schema": _PLACE}
    return {
        "operationId": "stream",
        "tags": ["events"],
        "summary": "Server-sent events from any place: what happened since, then what happens, without end.",
        "parameters": [
            _part("project"),
            *(
                {**_query(name, _PLACE), "description": f"{what} that the first event follows."}
                for name, what in place
            ),
            {**resumed, "description": "The sequence of the last event that came; goes before `after`."},
        ],
        "responses": {
            "200": {
                "description": "Each event's id is its sequence, and its data a `LoggedEvent`. An event named"
                " `end` has a `Problem` as its data, and is the last.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **_refusals(_READS),
        },
    }


def _self() -> Schema:
    content = {"application/json": {"schema": {"type": "object"}}}
    responses = {"200": {"description": "OpenAPI.", "content": content}, **_refusals((400, 413, 421, 431))}
    return {"operationId": "openapi", "summary": "This document.", "security": [], "responses": responses}


def _schemas() -> Schema:
    results = {kind for command in COMMANDS for kind in told_by(command)}
    kinds = [*COMMANDS.values(), *sorted(results, key=lambda kind: kind.__name__), Advice, Problem]
    kinds += [ROWS[view] for view in view_names()]
    _, found = msgspec.json.schema_components(kinds, ref_template=REFERENCE + "{name}")
    return {name: found[name] for name in sorted(found)}


def _answer(
    description: str, properties: Schema, headers: Schema | None = None, *, optional: Schema | None = None
) -> Schema:
    found = {**properties, **(optional or {})}
    schema = {"type": "object", "properties": found, "required": list(properties)}
    told = {"description": description, "content": {"application/json": {"schema": schema}}}
    return {**told, "headers": headers} if headers else told


def _refusals(statuses: tuple[int, ...]) -> Schema:
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)}


def _refusal(status: int) -> Schema:
    told: Schema = {
        "description": _WHY[status],
        "content": {MEDIA_TYPE: {"schema": reference(Problem.__name__)}},
    }
    if status in (408, 429, 503):
        seconds = {"schema": {"type": "integer", "minimum": 1}, "description": "In seconds."}
        told["headers"] = {"Retry-After": seconds}
    return told


def _part(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def _project() -> Schema:
    return {"name": "project", "in": "path", "required": True, "schema": msgspec.json.schema(Name)}


def _key() -> Schema:
    return {
        "name": KEY_HEADER, "in": "header", "required": False,
        "schema": {"type": "string", "pattern": f"^{KEY_PATTERN}$"},
        "description": "Repeated under its key, a command is done once, and is given its first answer again.",
    }  # fmt: skip


def _actor() -> Schema:
    return {
        "name": ACTOR_HEADER, "in": "header", "required": False, "schema": msgspec.json.schema(Name),
        "description": "Whom an operator acts for; anybody else acts as the token's actor alone.",
    }  # fmt: skip


def _advice() -> Schema:
    return {
        **_query(ADVICE, {"type": "boolean", "default": True}),
        "description": "With false the answer is without what failed before, and waits for no search.",
    }
