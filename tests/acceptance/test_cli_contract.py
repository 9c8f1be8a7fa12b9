"""What scripts and people rely on in every command: exit codes, errors, output, help, documentation."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from cli import docs, views
from cli.main import coordctl
from cli.views import COLUMNS
from projections.catalog import VIEWS
from projections.settings import EffectiveSetting
from tests.acceptance.conftest import Shell
from tests.acceptance.system import ROOT

DERIVED_COLUMNS = {"blocked_by", "to", "built_in"}
LONG = "A title that goes on and on " * 12


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its path."""

    def below(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield context.command_path, command
            return
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from below(found, click.Context(found, context, info_name=name))

    return below(coordctl, click.Context(coordctl, info_name="coordctl"))


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["task", "claim", "--agent", "a b"], "use 1 to 64 letters"),
        (["--project", "no.dots", "task", "list"], "use 1 to 64 letters"),
        (["task", "show", "t 1"], "is not a task id"),
        (["task", "start", "t1", "--fence", "0"], "is not a fence"),
        (["task", "add", ""], "$.title"),
        (["task", "add", "x", "--priority", "5000"], "from -1000 to 1000"),
        (["task", "add", "x", "--run-after", "soon"], "neither a duration (10m) nor a time"),
        (["task", "add", "x", "--lease", "5 parsecs"], "is not a duration"),
        (["task", "add", "x", "--lease", "0.5s"], "$.lease_s"),
        (["task", "add", "x", "--link", "nowhere"], "is not a link"),
        (["task", "add", "x", "--input", "@no-such-file"], "cannot be read"),
        (["task", "add", "x", "--input", '"\\u0000"'], "NUL"),
        (["task", "add", "x", "--description", "é" * 200_000], "the limit is 262144"),
        (["task", "claim", "--count", "101"], "$.count"),
        (["agent", "spawn", "a1", "--persona", "plot", "--metadata", "{"], "it is not JSON"),
        (["agent", "spawn", "a1"], "--persona"),
        (["task", "plan", "no-such-file.json"], "cannot be read"),
        (["tusk"], "task"),
        (["replay", "--until", "5 months ago"], "is not a point in time"),
        (["bookmark", "set", "5 minutes ago"], "cannot be a bookmark's name"),
        (["bookmark", "set", "now"], "no word of time"),
        (["events", "--follow", "--until", "now"], "goes without --until"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(
    shell: Shell, tmp_path: Path, arguments: list[str], hint: str
) -> None:
    data = (
        shell.system.data if arguments[0] in ("replay", "events") else tmp_path
    )  # nothing runs on the latter
    assert hint in shell.error(*arguments, code=2, COORD_DATA=str(data))


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["task", "show", "t9"], 4, "unknown_task"),
        (["task", "cancel", "t9"], 4, "unknown_task"),
        (["task", "complete", "t9", "--agent", "a1"], 4, "unknown_task"),
        (["task", "complete", "t9", "--agent", "a1", "--fence", "1"], 4, "unknown_task"),
        (["task", "add", "x", "--id", "t2", "--after", "t9"], 4, "unknown_dependency"),
        (["task", "claim", "--agent", "nobody"], 4, "unknown_agent"),
        (["agent", "show", "nobody"], 4, "unknown_agent"),
        (["persona", "show", "nobody"], 4, "unknown_persona"),
        (["handoff", "show", "h9"], 4, "not_found"),
        (["handoff", "accept", "h9", "--agent", "a1"], 4, "unknown_handoff"),
        (["estimate", "close", "e9", "--sessions", "1"], 4, "unknown_estimate"),
        (["setting", "get", "no.such.key"], 4, "not_found"),
        (["replay", "--until", "#99"], 4, "point_not_reached"),
        (["replay", "--until", "nowhere"], 4, "unknown_bookmark"),
        (["bookmark", "set", "good", "#99"], 4, "point_not_reached"),
        (["bookmark", "remove", "nowhere"], 4, "unknown_bookmark"),
        (["agent", "spawn", "a1", "--persona", "lore"], 3, "agent_exists"),
        (["task", "start", "t1", "--agent", "a1"], 3, "not_held"),
        (["task", "start", "t1", "--agent", "a1", "--fence", "7"], 3, "stale_fence"),
        (["persona", "define", "plot", "Mine."], 3, "persona_exists"),
    ],
)
def test_refusals_tell_scripts_why(shell: Shell, arguments: list[str], code: int, error: str) -> None:
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("task", "add", "One", "--id", "t1")
    told = shell.json(*arguments, code=code)
    assert told["ok"] is False
    assert told["error"]["code"] == error
    sentence = shell.error(*arguments, code=code)
    assert sentence == f"Error: {told['error']['message']}\n"


def test_a_refusal_cannot_steer_a_terminal(shell: Shell) -> None:
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("agent", "terminate", "a1", "--reason", "\x1b]0;owned\x07")
    refusal = shell.error("task", "claim", "--agent", "a1", code=3)
    assert "owned" in refusal
    assert "\x1b" not in refusal


def test_without_a_running_system_it_says_what_to_do(shell: Shell, tmp_path: Path) -> None:
    for arguments in (["task", "list"], ["task", "add", "x"], ["events"], ["projection", "list"]):
        assert "run `coordctl up`" in shell.error(*arguments, code=5, COORD_DATA=str(tmp_path))
    told = shell.json("task", "list", code=5, COORD_DATA=str(tmp_path))
    assert told["error"]["code"] == "not_running"


def test_servers_that_do_not_answer_are_unavailable(shell: Shell) -> None:
    closed = {"COORD_NATS_URL": "nats://127.0.0.1:9", "COORD_DATABASE_URL": "postgresql://127.0.0.1:9/none"}
    assert shell.json("task", "add", "x", code=5, **closed)["error"]["code"] == "unavailable"
    assert shell.json("task", "list", code=5, **closed)["error"]["retryable"] is True


def test_a_usage_error_is_a_document_too(shell: Shell) -> None:
    told = shell.json("task", "claim", "--agent", "a b", code=2)
    assert told["error"]["code"] == "usage"


def test_a_fence_is_looked_up_only_for_its_holder(shell: Shell) -> None:
    for name in ("a1", "a2"):
        shell("agent", "spawn", name, "--persona", "plot")
    shell("task", "add", "One", "--id", "t1")
    shell("task", "claim", "--agent", "a1")
    assert "a2 does not hold task t1" in shell.error("task", "complete", "t1", "--agent", "a2", code=3)
    shell("task", "complete", "t1", "--agent", "a1")


def test_common_options_stand_before_or_after_the_command(shell: Shell) -> None:
    other = f"{shell.project}x"
    shell("task", "add", "Elsewhere", "--project", other)
    before = shell(
        "--project", other, "--json", "--data", str(shell.system.data), "task", "list", COORD_DATA=""
    )
    after = shell(
        "task", "list", "--project", other, "--json", "--data", str(shell.system.data), COORD_DATA=""
    )
    assert before == after
    assert msgspec.json.decode(before)[0]["title"] == "Elsewhere"
    assert shell.json("task", "list") == []
    assert msgspec.json.decode(shell("--json", "status"))["ready"] is True


def test_the_actor_is_the_login_name_unless_one_is_named(shell: Shell) -> None:
    shell("task", "add", "One", LOGNAME="Ann B.")
    shell("task", "add", "Two", COORD_ACTOR="planner-1")
    shell("task", "add", "Three", "--as", "carl", COORD_ACTOR="planner-1")
    actors = [msgspec.json.decode(line)["actor"] for line in shell("events", "--json").splitlines()]
    assert actors == ["Ann_B_", "planner-1", "carl"]


def test_into_a_pipe_goes_plain_text_that_is_neither_wrapped_nor_cut(shell: Shell) -> None:
    shell("task", "add", LONG, "--id", "t1")
    shell("task", "add", "Short", "--id", "t2")
    listed = shell.system.run("--project", shell.project, "task", "list")
    heading, first, second = listed.splitlines()
    assert LONG.strip() in first
    assert heading.index("title") == first.index(LONG.strip()) == second.index("Short")
    assert "\x1b" not in listed


def test_at_a_terminal_there_are_colours(shell: Shell) -> None:
    shell("task", "add", "One", "--id", "t1")
    shown = at_terminal(shell, "task", "list")
    assert "\x1b[" in shown
    assert "queued" in shown


@pytest.mark.parametrize("verb", [("task", "list"), ("task", "show", "t1"), ("events",)])
def test_a_title_cannot_steer_a_terminal(shell: Shell, verb: tuple[str, ...]) -> None:
    shell("task", "add", "evil \x1b]0;owned\x07 \u202e title", "--id", "t1", "-d", "a\x1b[2Jb")
    printed = shell(*verb)
    assert "owned" in printed
    assert not {"\x1b", "\x07", "\u202e"} & {*printed}
    assert "\x1b]0;" not in at_terminal(shell, *verb)


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: Shell, shell_name: str) -> None:
    assert "_COORDCTL_COMPLETE" in shell("completion", shell_name)
    asked = shell(_COORDCTL_COMPLETE="bash_complete", COMP_WORDS="coordctl task re", COMP_CWORD="2")
    assert asked.split() == ["plain,release", "plain,reprioritize", "plain,requeue", "plain,retry"]


def test_help_and_usage_load_no_server_library() -> None:
    script = (
        "import sys; from cli.main import coordctl\n"
        "try: coordctl(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('nats', 'psycopg', 'rich', 'eventsourcing') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_documentation_is_made_from_the_commands() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == docs.document(), "run `python -m cli.docs > docs/cli.md`"


@pytest.mark.parametrize(("path", "command"), [pytest.param(*each, id=each[0]) for each in commands()])
def test_every_command_and_option_is_explained(path: str, command: click.Command) -> None:
    assert command.help, path
    assert f"### {path}\n" in docs.document()
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, f"{path} {option.opts}"


def test_people_see_columns_that_exist() -> None:
    assert COLUMNS.keys() <= VIEWS.keys()
    for name, columns in COLUMNS.items():
        row: Any = EffectiveSetting if name == "settings" else VIEWS[name].projection.row
        assert {*columns} - DERIVED_COLUMNS <= {*row.__struct_fields__}, name


def test_a_view_without_chosen_columns_is_shown_with_all_it_has(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell("failure", "record", "Act two", "--approach", "Two narrators", "--why", "Confusing")
    monkeypatch.setattr(views, "COLUMNS", {})
    heading, row = shell("failure", "list").splitlines()
    assert heading.split() == [
        "failure", "feature", "approach", "why", "lesson", "task", "recorded", "by", "recorded", "at",
        "session",
    ]  # fmt: skip
    assert "Two narrators" in row
    printed = shell("replay", "--until", "now", "--view", "all")
    assert "Two narrators" in printed
    for name in VIEWS:
        assert f"\n{name.replace('_', ' ').capitalize()}\n" in printed


def test_a_replay_offers_every_view_there_is(shell: Shell) -> None:
    refusal = shell.error("replay", "--until", "now", "--view", "nothing", code=2)
    assert all(f"'{name}'" in refusal for name in (*VIEWS, "all"))


def at_terminal(shell: Shell, *arguments: str) -> str:
    """What a person sees."""
    master, slave = pty.openpty()
    with os.fdopen(master, "rb", buffering=0) as screen:
        environ = {**shell.system.environ, **shell.environ, "TERM": "xterm-256color"}
        environ.pop("NO_COLOR", None)
        command = [sys.executable, "-m", "cli.main", *arguments]
        with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environ) as process:
            os.close(slave)
            shown = b""
            try:
                while chunk := screen.read(65_536):
                    shown += chunk
            except OSError:  # how a terminal says that its last user has gone
                pass
            assert process.wait(timeout=30) == 0, shown
    return shown.decode()
