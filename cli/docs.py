"""Writes docs/cli.md from the commands themselves: `python -m cli.docs > docs/cli.md`."""

import sys
from collections.abc import Iterator
from inspect import cleandoc

import click

from cli.exits import MEANINGS
from cli.lazy import common_options
from cli.main import coordctl

EXAMPLE = "For example: "

INTRODUCTION = """\
# The command line

<!-- Made from the commands by `python -m cli.docs > docs/cli.md`; change them, not this file. -->

Nouns, then verbs: `coordctl task claim`. `coordctl COMMAND --help` tells what stands here.

## Options of all commands

They may stand before the command or after it. (`handoff initiate` has a `--data` of its own; name the data
directory before it.)
"""

OUTPUT = """\
Whoever changes something is named by `--agent` or `--as`, or by `COORD_AGENT` or `COORD_ACTOR`; otherwise
it is the login name. (`fork` takes `--agent` alone: its `--as` names the new project.)

## Output

At a terminal, tables and colours. In a pipe, plain aligned text that is never wrapped or cut. With `--json`,
one document: of a list its rows, of a command its result with the `position` of its last event, of
`task claim` the claimed tasks; `events` prints one document per line. Times are UTC.

A read waits, two seconds at most, until the read models include what was in the log when it was asked for; if
they do not, a warning says so on stderr.

An error is one sentence on stderr. With `--json` it is a document on stdout instead:
`{"ok": false, "error": {"code": …, "message": …, "retryable": …}}`, with the facts of the refusal beside
them.

## Exit codes
"""


def main() -> None:
    sys.stdout.write(document())


def document() -> str:
    """All of docs/cli.md."""
    return "\n".join(_document()).rstrip() + "\n"


def _document() -> Iterator[str]:
    context = click.Context(coordctl, info_name="coordctl")
    yield INTRODUCTION
    yield from _options(context, common_options())
    yield OUTPUT
    yield from (f"- {code}: {meaning}" for code, meaning in MEANINGS.items())
    for heading, names in coordctl.sections.items():
        yield f"\n## {heading}\n"
        for name in names:
            command = coordctl.get_command(context, name)
            assert command is not None, name
            yield from _command(click.Context(command, context, info_name=name))


def _command(context: click.Context) -> Iterator[str]:
    """A command, and those of a group after it."""
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"### {context.command_path}\n"
    yield f"```\n{context.command_path} {usage}\n```\n"
    yield from _help(command)
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from _command(click.Context(each, context, info_name=name))
    else:
        options = [each for each in command.params if isinstance(each, click.Option) and each.expose_value]
        yield from _options(context, [each for each in options if each.name != "as_json"])


def _help(command: click.Command) -> Iterator[str]:
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield f"```\n{paragraph.removeprefix(chr(8)).strip()}\n```\n"
        elif paragraph.startswith(EXAMPLE):
            yield f"```sh\n{' '.join(paragraph.removeprefix(EXAMPLE).split())}\n```\n"
        else:
            yield f"{paragraph}\n"


def _options(context: click.Context, options: list[click.Option]) -> Iterator[str]:
    shown = [each.get_help_record(context) for each in options if not each.hidden]
    lines = [f"- `{record[0]}`: {record[1]}" for record in shown if record is not None]
    if lines:
        yield "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
