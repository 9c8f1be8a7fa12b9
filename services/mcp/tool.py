"""How a tool is declared: what it takes and gives as Structs, and schemas made from them in few words. Pure.

One Struct is both the check of what a model sends and the schema that it reads, so they cannot differ.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from domain.errors import CoordError
from services.errors import BadInput

if TYPE_CHECKING:
    from services.mcp.desk import Desk

Schema = dict[str, Any]

_SAID = {"type", "properties", "required", "items", "enum", "description", "anyOf", "minimum", "maximum"}
"""The words of a schema that help its reader; limits of lengths and patterns are told when broken."""

_UNSAID = {"minimum", "maximum"}


class Arguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tool takes."""


class Reply(Struct, kw_only=True, omit_defaults=True):
    """What every tool gives: `next` says what to do now, `alert` what must not be missed."""

    next: str
    alert: str = ""


class Tool(Struct, frozen=True, kw_only=True):
    """One tool; `run` gets the session and the arguments, checked."""

    name: str
    says: str
    takes: type[Arguments]
    gives: type[Reply]
    run: "Callable[[Desk, Any], Awaitable[Reply]]"
    changes: bool = False
    destroys: bool = False

    def parse(self, arguments: Mapping[str, Any]) -> Arguments:
        """Raises BadInput."""
        try:
            return msgspec.convert(dict(arguments), self.takes, strict=False)
        except msgspec.ValidationError as error:
            raise BadInput(verb=self.name, why=str(error)) from error

    def input_schema(self) -> Schema:
        return {"type": "object", **schema_of(self.takes)}

    def output_schema(self) -> Schema:
        return schema_of(self.gives, limits=False)


def schema_of(kind: type[Struct], *, limits: bool = True) -> Schema:
    """A Struct's JSON Schema without references, titles and defaults; without `limits` numbers are bare."""
    found = msgspec.json.schema(kind)
    definitions = found.get("$defs", {})
    short: Schema = _short(found, definitions, _SAID if limits else _SAID - _UNSAID)
    if not limits:
        short.pop("required", None)
        short["required"] = ["next"]
    return short


def _short(schema: Any, definitions: Mapping[str, Any], said: set[str]) -> Any:
    if "$ref" in schema:
        return _short(definitions[schema["$ref"].rpartition("/")[2]], definitions, said) | {
            word: schema[word] for word in ("description",) if word in schema
        }
    if "anyOf" in schema:
        kinds = [each for each in schema["anyOf"] if each.get("type") != "null"]
        if len(kinds) == 1:
            rest = {word: value for word, value in schema.items() if word != "anyOf"}
            return _short({**kinds[0], **rest}, definitions, said)
    short: Schema = {}
    for word, value in schema.items():
        if word == "properties":
            short[word] = {name: _short(each, definitions, said) for name, each in value.items()}
        elif word == "items":
            short[word] = _short(value, definitions, said)
        elif word == "anyOf":
            short[word] = [_short(each, definitions, said) for each in value]
        elif word in said and value != []:
            short[word] = value
    if "properties" in short:
        short.pop("description", None)  # a Struct's docstring is for those who read the code
    return short


ADVICE: Mapping[str, str] = {
    "stale_fence": "Stop working on this task: somebody else may have it. Call claim for another.",
    "not_held": "Call state to see what you hold, or claim.",
    "which_task": "Call again with `task`.",
    "unknown_task": "Call state without arguments to see which tasks there are.",
    "task_not_claimable": "Call claim without `task` to get one that is ready.",
    "task_does_not_fit": "Call claim without `task` to get one that fits you.",
    "agent_limit_reached": "Wait for an agent to end, or have an operator raise max_agents.",
    "agent_exists": "Ask for another agent name, or the persona it has, where this server is configured.",
    "unknown_persona": "Use a persona that exists; a planner's tool personas lists them.",
    "handoff_open": "Keep the task until the offer is answered or expires; call report to go on.",
    "not_permitted": "Your role may not do this. Say so in your result, so that a planner can.",
    "unknown_session": "Call begin: it begins a new session.",
    "unknown_dependency": "Add that task first, or correct the id.",
    "payload_too_large": "Store the data elsewhere and give its place.",
    "no_past_here": "Go on without it, or have this server configured as the gateway's /mcp.",
}
"""What a model should do about a refusal, by its code."""


def refusal(error: CoordError) -> Schema:
    """A refusal as a model reads it: the code, the sentence, and what to do next."""
    advice = ADVICE.get(error.code)
    if advice is None:
        advice = (
            "Call again in a few seconds." if error.retryable else "Correct the arguments and call again."
        )
    return {"error": error.code, "message": str(error), "next": advice}
