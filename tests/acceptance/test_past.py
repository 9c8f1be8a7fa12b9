"""Every list of the command line as of a point: what was known then, and what is refused."""

import re

import click
import pytest

from cli.main import coordctl
from tests.acceptance.conftest import Shell

LISTS = {
    "agents": ("agent", "list"),
    "tasks": ("task", "list"),
    "memories": ("memory", "list"),
    "decisions": ("decision", "list"),
    "failures": ("failure", "list"),
    "patterns": ("pattern", "list"),
    "documentation": ("docs", "list"),
    "settings": ("setting", "history"),
    "plans": ("plan", "list"),
}


def learn(shell: Shell, name: str) -> None:
    """One more of everything."""
    shell("agent", "spawn", name, "--persona", "plot")
    shell("task", "plan", "-", stdin=f'[{{"local": "{name}", "title": "Act {name}"}}]')
    shell("memory", "store", f"The captain is called {name}")
    shell("decision", "record", f"Voice of {name}", "--choice", "First person")
    shell("failure", "record", name, "--approach", "Two narrators", "--why", "Unclear")
    shell("pattern", "define", name, "One narrator")
    shell("docs", "cache", name, "--content", "Groups nest")
    shell("setting", "set", "max_agents", str(len(name) + 10))


def commands(group: click.Group, *names: str) -> dict[str, click.Command]:
    """Every command, by what is typed for it."""
    found: dict[str, click.Command] = {}
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            if isinstance(command, click.Group):
                found |= commands(command, *names, name)
            else:
                found[" ".join((*names, name))] = command
    return found


def test_every_list_can_be_asked_as_of_a_point() -> None:
    lists = {
        name: {option.name for option in command.params}
        for name, command in commands(coordctl).items()
        if any(option.name == "offset" for option in command.params)
    }
    assert "memory list" in lists
    assert [name for name, options in lists.items() if "as_of" not in options] == []


def test_lists_tell_what_was_so(shell: Shell) -> None:
    learn(shell, "anna")
    known = {name: shell.json(*command) for name, command in LISTS.items()}
    shell("bookmark", "set", "then")
    learn(shell, "berta")
    for name, command in LISTS.items():
        assert len(shell.json(*command)) == 2, name
        then = shell.json(*command, "--as-of", "then")
        assert then == known[name], name
        assert then, name
        assert shell.json(*command, "--as-of", "#0") == [], name
    assert "anna" in shell("memory", "list", "--as-of", "then")
    _, warning, _ = shell.run("memory", "list", "--as-of", "now", "--limit", "1")
    assert "more than these 1" in warning
    rest = shell.json("memory", "list", "--as-of", "now", "--limit", "1", "--offset", "1")
    assert rest == known["memories"]


def test_one_thing_is_shown_as_it_was(shell: Shell) -> None:
    shell("agent", "spawn", "a1", "--persona", "plot")
    shell("task", "add", "Outline", "--id", "t1")
    shell("task", "claim", "t1", "--agent", "a1")
    shell("bookmark", "set", "then")
    shell("task", "complete", "t1", "--agent", "a1")
    task = shell.json("task", "show", "t1", "--as-of", "then")
    assert (task["status"], task["holder"], len(task["activity"])) == ("claimed", "a1", 2)
    agent = shell.json("agent", "show", "a1", "--as-of", "then")
    assert (agent["completed"], [row["task"] for row in agent["held"]]) == (0, ["t1"])
    assert shell.json("agent", "show", "a1")["held"] == []
    assert "t1" in shell.error("task", "show", "t1", "--as-of", "#1", code=4)
    shell("estimate", "record", "x", "--sessions", "1", "--complexity", "1")
    assert shell.json("estimate", "list", "--as-of", "then") == {
        "estimates": [], "factor": None, "closed": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("point", "said"), [("not, so", "is not a point"), ("#99", "not reached"), ("never", "no bookmark")]
)
def test_what_is_no_point_is_refused_with_what_can_be_written(shell: Shell, point: str, said: str) -> None:
    shell("task", "add", "Outline")
    code = {"not, so": 2}.get(point, 4)
    assert re.search(said, shell.error("task", "list", "--as-of", point, code=code))
