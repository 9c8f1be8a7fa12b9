"""`coordctl prove fuzz`: hostile messages of every kind at a whole system, and nothing comes of them."""

import json
from pathlib import Path

from domain.catalog import COMMANDS
from services.bus.wire import parse_command
from services.prove.fuzz_shots import BODIES, KINDS, is_command, shots
from tests.acceptance.system import System

MESSAGES = 10_000
SIDE_KINDS = {"HTTP", "protocol violations", "10 MiB payloads"}
CODES = {
    "bad_input", "bad_name", "unknown_verb", "unknown_view", "payload_too_large", "unknown_agent",
    "unknown_project", "unknown_dependency", "invalid_setting", "invalid_command", "reserved_project",
}  # fmt: skip


def test_nothing_comes_of_hostile_messages_but_typed_errors(data: Path) -> None:
    system = System(data, TMPDIR=str(data))

    told = json.loads(system.run("prove", "fuzz", "--messages", str(MESSAGES), "--seed", "1", "--json"))

    assert (told["ok"], told["broken"]) == (True, [])
    assert told["messages"] > MESSAGES
    assert len(told["sent"]) == len(KINDS) + len(SIDE_KINDS)
    assert told["answers"].keys() >= CODES
    assert told["before"]["events"] == told["after"]["events"]
    assert told["before"]["pids"] == told["after"]["pids"]
    assert system.processes() == []
    assert list(data.iterdir()) == []


def test_the_bodies_that_are_broken_are_whole_commands_of_every_verb() -> None:
    assert BODIES.keys() == COMMANDS.keys()
    for verb, body in BODIES.items():
        assert isinstance(parse_command(verb, json.dumps(body).encode()), COMMANDS[verb])


def test_the_same_seed_makes_the_same_messages() -> None:
    assert list(shots(7, 500)) == list(shots(7, 500))
    assert list(shots(7, 500)) != list(shots(8, 500))


def test_no_broken_payload_is_a_command() -> None:
    broken = {
        "random bytes",
        "truncated JSON",
        "wrong types",
        "unknown fields",
        "deep nesting",
        "huge numbers",
    }
    for shot in shots(9, 5_000):
        if shot.kind in broken:
            verb = ".".join(shot.subject.decode().split(".")[4:])
            assert not is_command(verb, shot.payload), shot
