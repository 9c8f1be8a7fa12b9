"""`coordctl step`: forward and back through the events, with what each of them changed."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.events import document
from cli.options import NEGATIVE_NUMBERS
from cli.output import UNSEEN, cell, clean, moment, print_json_line
from cli.past import Past, past
from domain.errors import CoordError
from projections.catalog import VIEWS

if TYPE_CHECKING:
    from projections.changes import RowChange
    from services.reading.changes import Step, Walk

MAX_STEPS = 10_000
STEPS = 20
SHOWN_ROWS = 50
SHOWN_CHARS = 160

FORWARD = ("\x1b[C", "\x1bOC", "n", " ", "\r", "\n")
BACK = ("\x1b[D", "\x1bOD", "p")
BEGINNING = ("\x1b[H", "\x1bOH", "\x1b[1~", "g")
END = ("\x1b[F", "\x1bOF", "\x1b[4~", "G")
GO_TO = "/"
QUIT = ("q", "\x1b")

_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|.", re.DOTALL)
_HELP = "→ n next   ← p back   g first   G last   / go to a point   q quit"


@click.command(context_settings=NEGATIVE_NUMBERS)
@click.argument("point", required=False)
@click.option("--entity", help="Only the events about this task, agent, handoff, …")
@click.option("--view", "views", type=click.Choice([*VIEWS]), multiple=True,
              help="Only the changes in this view; repeatable.")  # fmt: skip
@click.option("--count", type=click.IntRange(1, MAX_STEPS),
              help=f"Print so many steps and end; {STEPS} if nobody is at the keyboard.")  # fmt: skip
@pass_context
def step(
    context: Context, point: str | None, entity: str | None, views: tuple[str, ...], count: int | None
) -> None:
    """Walk through the events from the last one that POINT includes, or from the first.

    Each step shows an event and every row that it changed, field by field. The arrows, n and p go forward and
    back, g and G to the first and the last, / asks for a point, q ends it.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl step "10 minutes ago" --entity t1 --view queue
    """
    with past(context) as before:
        walker = Walker(context, before, _walk(context, before, entity, views))
        place = walker.place(point) if point else 0
        at_keyboard = sys.stdin.isatty() and sys.stdout.isatty()
        if context.as_json or count or not at_keyboard:
            walker.print_steps(place, count or STEPS)
        else:
            walker.walk(place)


@dataclass(frozen=True)
class Walker:
    """Shows the steps of a walk."""

    context: Context
    before: Past
    steps: "Walk"

    def place(self, point: str) -> int:
        """The last step that a POINT includes. Raises BadPoint or PointNotReached."""
        project = self.context.project
        return self.steps.place(self.before.log.sequence_at(project, self.before.position(project, point)))

    def print_steps(self, place: int, count: int) -> None:
        for number, each in enumerate(self.steps.steps(place, count)):
            if self.context.as_json:
                print_json_line(_document(each))
            else:
                click.echo(("\n" if number else "") + "\n".join(_lines(each)))

    def walk(self, place: int) -> None:
        """Go where the keys say, until told to quit."""
        note = ""
        while len(self.steps):
            self._show(place, note)
            note = ""
            for key in keys(click.getchar()):
                if key in QUIT:
                    return
                if key == GO_TO:
                    place, note = self._jump(place)
                else:
                    place = moved(key, place, len(self.steps) - 1)

    def _show(self, place: int, note: str) -> None:
        shown = next(self.steps.steps(place))
        click.clear()
        click.echo("\n".join(_lines(shown, SHOWN_CHARS)))
        if note:
            click.secho(f"\n{clean(note)}", fg="red")
        click.secho(f"\nstep {place + 1} of {len(self.steps)}   {_HELP}", dim=True)

    def _jump(self, place: int) -> tuple[int, str]:
        """Where a person wants to go; or where it is now, and why it cannot be."""
        try:
            return self.place(click.prompt("Go to the point", prompt_suffix=": ")), ""
        except CoordError as error:
            return place, str(error)


def keys(pressed: str) -> Iterator[str]:
    """The keys in what a terminal sent: several, if they were pressed fast."""
    return (found[0] for found in _KEY.finditer(pressed))


def moved(key: str, place: int, last: int) -> int:
    """The place that a key leads to."""
    if key in BEGINNING:
        return 0
    if key in END:
        return last
    return min(max(place + (key in FORWARD) - (key in BACK), 0), last)


def _walk(context: Context, before: Past, entity: str | None, views: tuple[str, ...]) -> "Walk":
    from domain.errors import NotFound
    from services.reading.changes import STATE, Walk

    projections = [VIEWS[name].projection for name in dict.fromkeys(views)] if views else STATE
    walk = Walk(before.history(context.project), before.travel, entity, projections)
    if not walk:
        raise NotFound(kind="trace of", id=entity or "any event")
    return walk


def _lines(step: "Step", widest: int | None = None) -> Iterator[str]:
    """An event, and under it the rows it changed."""
    from projections.words import words

    recorded = step.recorded
    place = f"#{recorded.sequence}  position {recorded.position}  {moment(recorded.at)}"
    yield click.style(f"{place}  {recorded.event.name}", bold=True)
    yield f"  {clean(words(recorded))}"
    for change in step.changes[:SHOWN_ROWS]:
        yield from _changed(change, widest)
    if len(step.changes) > SHOWN_ROWS:
        yield f"  and {len(step.changes) - SHOWN_ROWS} rows more; --json shows them all"
    if not step.changes:
        yield "  no row of these views changed"


def _changed(change: "RowChange", widest: int | None) -> Iterator[str]:
    what = "" if change.what == "changed" else f" ({change.what})"
    key = click.style(clean(" ".join(map(str, change.key))), bold=True)
    yield f"  {change.view.replace('_', ' ')} {key}{what}"
    told = {
        each.field.replace("_", " "): (cell(each.old), cell(each.new))
        for each in change.fields
        if each.field not in UNSEEN
    }
    width = max(map(len, told), default=0)
    for name, (old, new) in told.items():
        if old != new:  # times differ by less than what is shown
            arrow = (
                _cut(new, widest) if change.what == "added" else f"{_cut(old, widest)} → {_cut(new, widest)}"
            )
            yield f"    {click.style(name.ljust(width), dim=True)}  {arrow}"


def _cut(text: str, widest: int | None) -> str:
    return text if widest is None or len(text) <= widest else f"{text[:widest]}…"


def _document(step: "Step") -> dict[str, object]:
    from projections.words import words

    changes = [
        {
            "view": change.view,
            "key": change.key,
            "what": change.what,
            "fields": {each.field: {"old": each.old, "new": each.new} for each in change.fields},
        }
        for change in step.changes
    ]
    return {**document(step.recorded), "words": words(step.recorded), "changes": changes}
