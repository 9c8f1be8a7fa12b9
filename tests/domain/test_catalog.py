"""The contract of names: what the wire and the log call things must never change under them.

`events.json` holds each event's name, version and fields as logs have them. After a change that is meant:
`python -m tests.domain.test_catalog` writes it anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain import catalog
from domain.agents import CheckAgent
from domain.catalog import COMMANDS, EVENTS, upcast
from domain.errors import CoordError, StaleFence
from domain.handoffs import ExpireHandoff
from domain.memory import ArchiveFaded
from domain.messages import Command, Context, Event
from domain.tasks.commands import ExpireLease, QueueDueTask
from tests.domain.given import START

RECORDED = Path(__file__).with_name("events.json")
TICKER_ONLY: set[type[Command]] = {ArchiveFaded, CheckAgent, ExpireHandoff, ExpireLease, QueueDueTask}
VERBS = [
    "agent.spawn",
    "agent.heartbeat",
    "agent.leave",
    "agent.terminate",
    "persona.define",
    "task.enqueue",
    "task.plan",
    "task.import",
    "task.claim",
    "task.start",
    "task.progress",
    "task.complete",
    "task.complete_many",
    "task.fail",
    "task.release",
    "task.requeue",
    "task.cancel",
    "task.reprioritize",
    "task.retry",
    "handoff.initiate",
    "handoff.accept",
    "handoff.reject",
    "handoff.complete",
    "setting.set",
    "setting.unset",
    "failure.record",
    "estimate.record",
    "estimate.close",
    "retro.record",
    "bookmark.set",
    "bookmark.remove",
    "memory.store",
    "memory.use",
    "memory.archive",
    "memory.share",
    "spike.initiate",
    "spike.conclude",
    "decision.record",
    "pattern.define",
    "pattern.use",
    "complexity.snapshot",
    "docs.cache",
    "action.record",
    "session.start",
    "session.end",
    "project.fork",
    "project.restore",
]

Shape = dict[str, Any]


def shape(event: type[Event]) -> Shape:
    """What a stored event of this type looks like: its version, its fields, their JSON types and defaults."""
    definitions = msgspec.json.schema(event)["$defs"]
    own = definitions[event.__name__]
    return {
        "version": event.version,
        "required": sorted(own["required"]),
        "fields": {name: kind(field, definitions) for name, field in sorted(own["properties"].items())},
    }


def kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON type in words, with its default, down to the fields of what is nested in it.

    The default belongs to it: an event leaves out what equals its default, so a changed one rewrites logs.
    """
    words = _kind(schema, definitions)
    return f"{words} = {json.dumps(schema['default'])}" if "default" in schema else words


def _kind(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in schema:
        properties = definitions[schema["$ref"].rpartition("/")[2]]["properties"]
        return (
            "{" + ", ".join(f"{name}: {kind(f, definitions)}" for name, f in sorted(properties.items())) + "}"
        )
    if "anyOf" in schema:
        return " | ".join(kind(choice, definitions) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(json.dumps(choice) for choice in schema["enum"])
    if schema.get("type") == "array":
        return f"[{kind(schema['items'], definitions)}]"
    return str(schema.get("format", schema.get("type", "any")))


def leaves(base: type[Any]) -> Iterator[type[Any]]:
    """The types under `base` that have a name, so that they can be asked for or recorded."""
    for below in base.__subclasses__():
        if "name" in vars(below):
            yield below
        yield from leaves(below)


def of_domain(base: type[Any]) -> set[type[Any]]:
    return {leaf for leaf in leaves(base) if leaf.__module__.startswith("domain.")}


def test_every_verb_that_the_documentation_promises_is_there() -> None:
    assert sorted(COMMANDS) == sorted(VERBS)


def test_every_command_is_in_the_catalog_but_those_that_only_time_may_ask() -> None:
    assert of_domain(Command) == set(COMMANDS.values()) | TICKER_ONLY


def test_every_event_is_in_the_catalog() -> None:
    assert of_domain(Event) == set(EVENTS.values())


@pytest.mark.parametrize("base", [Command, Event])
def test_no_two_messages_share_a_name(base: type[Any]) -> None:
    names = [leaf.name for leaf in of_domain(base)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("message", [*COMMANDS.values(), *EVENTS.values()], ids=lambda message: message.name)
def test_a_name_is_a_context_and_a_verb_and_no_class_path(message: type[Any]) -> None:
    context, verb = message.name.split(".")
    assert context.isidentifier()
    assert context.islower()
    assert verb.isidentifier()
    assert verb.islower()


def test_no_two_refusals_share_a_code() -> None:
    found = [refusal for refusal in refusals(CoordError) if refusal.__module__ == "domain.errors"]
    codes = [refusal.code for refusal in found]
    assert len(codes) == len(set(codes))
    for refusal in found:
        assert refusal.says.endswith((".", "}")), refusal


def refusals(base: type[CoordError]) -> Iterator[type[CoordError]]:
    for below in base.__subclasses__():
        yield below
        yield from refusals(below)


def test_every_recorded_event_can_still_be_read() -> None:
    upcast_it = "raise the event's version and write an upcast in domain/catalog.py"
    recorded = json.loads(RECORDED.read_text())
    for name, before in recorded.items():
        assert name in EVENTS, f"{name} is gone, but logs hold it: keep the event, or its name on a new class"
        now = shape(EVENTS[name])
        if now["version"] != before["version"]:
            continue  # the change is declared; that an upcast leads here is the next test's matter
        for field, was in before["fields"].items():
            found = now["fields"].get(field, "gone")
            assert found == was, f"{name}.{field} is [{was}] in logs and now [{found}]: {upcast_it}"
        added = set(now["required"]) - set(before["required"])
        assert not added, f"{name} now requires {added}, which logs lack: give a default, or {upcast_it}"


def test_every_version_before_the_present_one_has_an_upcast() -> None:
    for name, event in EVENTS.items():
        for version in range(1, event.version):
            assert (name, version) in catalog.UPCASTS, f"{name}@{version} has no upcast in domain/catalog.py"


def test_the_record_of_events_is_complete() -> None:
    recorded = json.loads(RECORDED.read_text())
    assert recorded == shapes(), f"write {RECORDED.name} anew: python -m tests.domain.test_catalog"


def test_upcasts_follow_each_other_up_to_the_present_version(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {
        ("task.died", 1): lambda data: {**data, "second": True},
        ("task.died", 2): lambda data: {**data, "third": data["second"]},
    }
    monkeypatch.setattr(catalog, "UPCASTS", steps)
    assert upcast("task.died", 1, {"task": "t1"}) == {"task": "t1", "second": True, "third": True}
    assert upcast("task.died", 2, {"second": 5}) == {"second": 5, "third": 5}
    assert upcast("task.died", 3, {"task": "t1"}) == {"task": "t1"}
    assert upcast("task.queued", 1, {"task": "t1"}) == {"task": "t1"}


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("agent.spawn", "{}"),
        ("agent.spawn", '{"persona": "plot\\n"}'),
        ("agent.spawn", '{"persona": "plot", "agent": "a.b"}'),
        ("agent.spawn", '{"persona": "plot", "agent": ""}'),
        ("agent.spawn", '{"persona": "plot", "agent": "a b"}'),
        ("agent.spawn", '{"persona": "plot", "agent": "*"}'),
        ("agent.spawn", '{"persona": "plot", "capabilities": "web"}'),
        ("agent.spawn", '{"persona": "plot", "color": "red"}'),
        ("agent.spawn", '["plot"]'),
        ("agent.spawn", "null"),
        ("agent.heartbeat", '{"agent": "a2"}'),
        ("task.enqueue", '{"title": ""}'),
        ("task.enqueue", '{"title": "x", "priority": 1001}'),
        ("task.enqueue", '{"title": "x", "priority": "high"}'),
        ("task.enqueue", '{"title": "x", "priority": 1.5}'),
        ("task.enqueue", '{"title": "x", "id": "t1\\n"}'),
        ("task.enqueue", '{"title": "x", "id": "a..b"}'),
        ("task.enqueue", '{"title": "x", "id": ">"}'),
        ("task.enqueue", '{"title": "x", "run_after": "tomorrow"}'),
        ("task.enqueue", '{"title": "x", "run_after": "2026-01-01T00:00:00"}'),
        ("task.enqueue", '{"title": "x", "retry": {"attempts": 0}}'),
        ("task.enqueue", '{"title": "x", "retry": {"factor": 0.5}}'),
        ("task.enqueue", '{"title": "x", "lease_s": 0}'),
        ("task.enqueue", '{"title": "x", "status": "completed"}'),
        ("task.plan", '{"tasks": []}'),
        ("task.claim", '{"count": 0}'),
        ("task.claim", '{"count": 101}'),
        ("task.claim", '{"wait_s": 61}'),
        ("task.complete", '{"task": "t1"}'),
        ("task.complete", '{"task": "t1", "fence": 0}'),
        ("task.complete", '{"task": "t1", "fence": true}'),
        ("task.progress", '{"task": "t1", "fence": 1, "percent": 101}'),
        ("handoff.initiate", '{"task": "t1", "fence": 1, "to_agent": "a2", "context": {"mood": "good"}}'),
        ("setting.set", '{"key": "max_agents"}'),
        ("setting.set", '{"key": "max_agents", "value": 3, "scope": "galaxy"}'),
        ("estimate.record", '{"feature": "x", "sessions": 0, "complexity": 1}'),
        ("estimate.record", '{"feature": "x", "sessions": 1, "complexity": 11}'),
        ("retro.record", '{"feature": "x", "spike_accuracy": 101}'),
        ("bookmark.set", '{"bookmark": "5 minutes ago", "sequence": 1}'),
        ("bookmark.set", '{"bookmark": "good", "sequence": -1}'),
        ("bookmark.set", '{"bookmark": "good"}'),
        ("project.fork", '{"origin": "_system", "sequence": 1}'),
        ("project.fork", '{"origin": "main", "sequence": 0}'),
        ("project.restore", '{"sequence": 1}'),
        ("project.restore", '{"sequence": 1, "reason": ""}'),
        ("project.restore", '{"sequence": 1.5, "reason": "x"}'),
    ],
)
def test_a_body_that_is_not_what_the_verb_asks_for_is_refused(verb: str, body: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(body, type=COMMANDS[verb])


@pytest.mark.parametrize("name", ["a", "A-1_b", "x" * 64])
def test_names_of_one_subject_token_are_taken(name: str) -> None:
    body = json.dumps({"persona": name, "agent": name})
    assert msgspec.json.decode(body, type=COMMANDS["agent.spawn"])


def test_derived_ids_tell_commands_prefixes_and_places_apart() -> None:
    contexts = [
        Context(project=project, actor="a1", at=START, command_id=command)
        for project, command in (("novel", "c1"), ("novel", "c2"), ("other", "c1"))
    ]
    ids = {context.new_id("t", index) for context in contexts for index in range(50)}
    assert len(ids) == 150
    assert contexts[0].new_id("t") == contexts[0].new_id("t", 0)


def test_a_refusal_tells_a_program_and_a_person() -> None:
    refusal = StaleFence(task="t1", given=2, current=3, status="claimed", holder="a2")
    assert refusal.code == "stale_fence"
    assert refusal.facts["current"] == 3
    assert "now 3" in str(refusal)


def shapes() -> dict[str, Shape]:
    return {name: shape(EVENTS[name]) for name in sorted(EVENTS)}


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(shapes(), indent=1) + "\n")
