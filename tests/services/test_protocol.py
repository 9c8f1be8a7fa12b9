"""The protocol as programs read it: everything is in it, it is well formed, and results are as it says."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from cli.main import coordctl
from domain.catalog import COMMANDS, EVENTS
from domain.errors import Rejection
from domain.messages import TICKER, Command
from domain.results import recalled, result, result_unchanged
from services.protocol.files import asyncapi, schema_files
from services.protocol.refusals import refusals
from services.protocol.results import told_by
from services.protocol.schemas import schemas, together
from services.reading.reads import view_names
from tests.domain.fleet import Answer
from tests.domain.test_machine import Everything

STEPS = 3_000


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As it is read from the file."""
    read: dict[str, Any] = json.loads(msgspec.json.encode(asyncapi()))
    return read


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def found(document: Any, reference: str) -> Any:
    """What a reference points to. Raises KeyError."""
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def test_every_command_event_and_view_has_its_subject_and_its_operation(document: dict[str, Any]) -> None:
    addresses = {channel["address"] for channel in document["channels"].values()}
    wanted = {
        *(f"coord.{{project}}.cmd.{{actor}}.{command}" for command in COMMANDS),
        *(f"coord.{{project}}.evt.{event}.{{entity}}" for event in EVENTS),
        *(f"coord.{{project}}.get.{view}" for view in view_names()),
    }
    assert addresses == {*wanted, None}
    operations = document["operations"]
    assert {name for name, each in operations.items() if each["action"] == "send"} == {
        f"event.{event}" for event in EVENTS
    }
    asked = {name for name, each in operations.items() if each["action"] == "receive"}
    assert asked == {*(f"command.{each}" for each in COMMANDS), *(f"view.{each}" for each in view_names())}
    for name in asked:
        assert len(operations[name]["reply"]["messages"]) == 2, "an answer is a result or an error"


def test_what_the_document_refers_to_is_in_it_and_messages_are_of_their_channels(
    document: dict[str, Any],
) -> None:
    for reference in references(document):
        assert found(document, reference)
    for name, operation in document["operations"].items():
        channel = found(document, operation["channel"]["$ref"])
        used = set(re.findall(r"\{(\w+)\}", channel["address"]))
        assert used == set(channel["parameters"])
        assert name in channel["messages"]


def test_every_schema_is_one_and_says_what_a_claim_is() -> None:
    Draft202012Validator.check_schema(together(schemas()))
    files = schema_files()
    for schema in files.values():
        assert all(found(schema, reference) for reference in references(schema))
    claim = Draft202012Validator(files["commands/task.claim.json"])
    assert claim.is_valid({"wait_s": 30})
    for wrong in ({"wait_s": 61}, {"wait": 1}, {"count": 0}, {"task": ".."}):
        assert not claim.is_valid(wrong)


def test_every_refusal_has_its_code_its_sentence_and_its_facts() -> None:
    stale = refusals()["stale_fence"]
    assert (stale.retryable, stale.facts) == (False, ("given", "task", "current", "status"))
    assert all(re.fullmatch("[a-z_]+", code) and each.says for code, each in refusals().items())


def test_the_command_writes_the_document_and_a_schema_for_each_message(tmp_path: Path) -> None:
    run = CliRunner()
    assert json.loads(run.invoke(coordctl, ["protocol"]).output)["asyncapi"] == "3.0.0"
    assert (
        "ClaimTask" in json.loads(run.invoke(coordctl, ["protocol", "--format", "schemas"]).output)["$defs"]
    )
    assert run.invoke(coordctl, ["protocol", "--out", str(tmp_path)]).exit_code == 0
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")}
    assert written == {"asyncapi.json", *(f"schemas/{name}" for name in schema_files())}


class Listener(Everything):
    """Looks at what each caller would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: Counter[str] = Counter()

    def ask(self, actor: str, command: Command, command_id: str | None = None) -> Answer:
        events = answer = super().ask(actor, command, command_id)
        if isinstance(events, Rejection) or actor == TICKER:
            return answer
        plain: dict[str, Any] = {}
        if not events:
            plain, events = result_unchanged(self.ledger, command, actor)
        recall = {number: self.log.entries[number - 1].event() for number in recalled(events)}
        told = plain or result(events, recall.__getitem__)
        kind = next((each for each in told_by(command.name) if fits(told, each)), None)
        assert kind is not None, f"{command.name} told {told}"
        self.told[kind.__name__] += 1
        return answer

    def everything_holds(self) -> None:
        """That is looked at elsewhere."""


def fits(told: dict[str, Any], kind: type[Any]) -> bool:
    try:
        msgspec.json.decode(msgspec.json.encode(told), type=kind)
    except msgspec.ValidationError:
        return False
    return True


def test_whatever_a_fleet_does_its_callers_are_told_what_the_schemas_say() -> None:
    random, fleet = Random(1), Listener()
    for _ in range(STEPS):
        fleet.step(random)
    kinds = {kind.__name__ for command in COMMANDS for kind in told_by(command)}
    turns = {"Forked", "Restored"}  # the writer answers them, from the past that it reads
    assert kinds - turns <= set(fleet.told), "the history was too short to show all"
