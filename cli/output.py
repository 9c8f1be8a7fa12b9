"""What commands print: for people at a terminal in colours, into a pipe as plain lines, for programs as JSON.

Text from the log is anybody's: what would steer a terminal is taken out of it.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context

if TYPE_CHECKING:
    from services.bus.caller import Answer

Item = Mapping[str, Any]

STYLES: Mapping[str, str] = {
    "active": "green", "stale": "red", "terminated": "bright_black",
    "queued": "cyan", "blocked": "yellow", "claimed": "blue", "in_progress": "green",
    "completed": "bright_black", "failed": "red", "cancelled": "bright_black", "dead": "red",
    "initiated": "magenta", "accepted": "green", "rejected": "red", "expired": "red",
}  # fmt: skip

UNSEEN = {"project", "brief", "last_command"}
"""What says nothing to people: they named the project, and the others are for programs."""

_PROSE = {
    "title", "words", "reason", "meaning", "definition", "capabilities", "approach", "why", "lesson",
    "feature", "text", "question", "choice", "result", "lessons", "description", "note", "error",
    "surprises", "would_change", "new_patterns", "value", "old", "new", "blocked_by",
}  # fmt: skip
"""Columns of any length."""

_INDENTED_CHARS = 80


def print_json(value: Any) -> None:
    """One document."""
    import msgspec

    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())


def print_json_line(value: Any) -> None:
    """One document of a stream."""
    import msgspec

    click.echo(msgspec.json.encode(value))


def print_answer(context: Context, answer: "Answer", done: str, unchanged: str = "") -> None:
    """What a command came to: its result with the position, or a sentence."""
    if context.as_json:
        print_json({"position": answer.position, **answer.result})
    elif answer.result.get("unchanged"):
        click.echo(unchanged or "It was so already; nothing was changed.")
    else:
        click.echo(done)


def print_rows(context: Context, rows: Sequence[Item], columns: Sequence[str], nothing: str) -> None:
    """A list: all of it as JSON, these columns for people."""
    if context.as_json:
        print_json(rows)
    elif rows:
        print_table(rows, columns)
    else:
        click.echo(nothing)


def print_item(context: Context, item: Item, title: str) -> None:
    """One thing with all that is known of it."""
    if context.as_json:
        print_json(item)
    else:
        click.echo("\n".join(card(item, title)))


def print_table(rows: Iterable[Item], columns: Sequence[str]) -> None:
    """Aligned columns; in a pipe never wrapped and never cut."""
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    if sys.stdout.isatty():
        _print_coloured(columns, cells)
        return
    headings = [_words(column) for column in columns]
    widths = [max(map(len, texts)) for texts in zip(headings, *cells, strict=True)]
    for line in (headings, *cells):
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def card(item: Item, title: str) -> list[str]:
    """Lines of names and values; what is empty is left out."""
    shown = {
        name: value
        for name, value in item.items()
        if name not in UNSEEN and value not in (None, "", [], (), {})
    }
    width = max(map(len, shown), default=0)
    lines = [click.style(clean(title), bold=True)]
    for name, value in shown.items():
        first, *more = _lines(value)
        text = click.style(first, fg=STYLES.get(first)) if name == "status" else first
        lines.append(f"  {click.style(_words(name).ljust(width), dim=True)}  {text}")
        lines += [f"  {'':{width}}  {line}" for line in more]
    return lines


def heading(text: str) -> None:
    """What the following rows are."""
    click.echo(click.style(text, bold=True))


def warn(sentence: str) -> None:
    """On stderr, so that it spoils no document."""
    click.echo(f"{click.style('Warning:', fg='yellow')} {clean(sentence)}", file=sys.stderr)


def cell(value: Any) -> str:
    """A value on one line."""
    match value:
        case None | "" | () | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case datetime():
            return moment(value)
        case str():
            return clean(value)
        case list() | tuple() if all(isinstance(each, str) for each in value):
            return clean(", ".join(value))
        case _:
            return clean(_as_json(value))


def moment(time: datetime) -> str:
    """To the second, in UTC, and as `--until` takes it."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def clean(text: str) -> str:
    """Without line breaks and whatever else is no character to be seen."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _lines(value: Any) -> list[str]:
    """A value on as many lines as it has."""
    if isinstance(value, str):
        return [clean(line) for line in value.splitlines()] or [""]
    if isinstance(value, list | tuple) and any(isinstance(each, str) and " " in each for each in value):
        return [line for each in value for line in _lines(each)]
    text = cell(value)
    if len(text) > _INDENTED_CHARS and isinstance(value, dict | list | tuple):
        return [clean(line) for line in _as_json(value, indent=2).splitlines()]
    return [text]


def _as_json(value: Any, indent: int = 0) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=indent).decode()


def _print_coloured(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Prose is folded if the terminal is narrow; ids, names and figures stay whole as long as can be."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(_words(column), no_wrap=column not in _PROSE, overflow="fold")
    for line in cells:
        styles = [
            STYLES.get(text, "") if column == "status" else ""
            for column, text in zip(columns, line, strict=True)
        ]
        table.add_row(*map(Text, line, styles))
    Console().print(table)


def _words(column: str) -> str:
    return column.replace("_", " ")
