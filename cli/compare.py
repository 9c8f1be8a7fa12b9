"""`coordctl compare`: two agents, attempts, plans or projects side by side."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context, pass_context
from cli.output import clean, print_json
from cli.past import Past, past
from cli.types import NAME

if TYPE_CHECKING:
    from projections.runs import Comparison, Pair, Run
    from projections.runs import Step as RunStep
    from services.reading.compare import Subject

_COLOURS = {"=": None, "<": "yellow", ">": "yellow", "!": "red"}
_SECONDS_ALONE = 100
_FIRST = "  ◄ the first difference"


@click.command()
@click.argument("left")
@click.argument("right", required=False)
@click.option("--with-project", type=NAME, help="Where the right run is looked for, if not in this project.")
@click.option("--since", metavar="POINT", help="Only what happened after this point, in each project.")
@click.option("--differing", is_flag=True, help="Leave out the steps that are the same.")
@pass_context
def compare(
    context: Context, left: str, right: str | None, with_project: str | None, since: str | None,
    differing: bool,
) -> None:  # fmt: skip
    """Lay two runs side by side: the same steps on one line, the first difference marked.

    A run is agent:NAME, task:ID, the n-th attempt at a task task:ID#N, plan:ID or project:NAME. Without RIGHT
    the right run is called as the left one, in the project that --with-project names.

    Steps are called by the part that a thing has in its run: the tasks of a plan by their local names, others
    by their number. = stands before a step of both, < and > before one of the left or the right alone, !
    where each does something else. Beside it stands when it was, counted from the beginning of the run, and
    how long after the step before it about the same thing.

    For example: coordctl compare task:t-x#1 task:t-x#2
    """
    if right is None and with_project is None:
        raise click.UsageError(
            "Name the run on the right, or with --with-project where it is called the same."
        )
    with past(context) as before:
        compared = _compare(context, before, left, right or left, with_project, since)
    if context.as_json:
        print_json(_document(compared))
        return
    for line in _lines(compared, differing=differing):
        click.echo(line)


def _compare(
    context: Context, before: Past, left: str, right: str, with_project: str | None, since: str | None
) -> "Comparison":
    from projections.runs import compare as align
    from services.errors import BadInput
    from services.reading.compare import parse_subject

    one, other = parse_subject(left), parse_subject(right)
    if one.kind != other.kind:
        raise BadInput(verb="compare", why=f"{left} and {right} are not of one kind")
    elsewhere = with_project or context.project
    return align(
        _run(before, _project(one, context.project), one, since),
        _run(before, with_project or _project(other, elsewhere), other, since),
    )


def _project(subject: "Subject", otherwise: str) -> str:
    """A project that is named as the run is looked for in itself."""
    return subject.name if subject.kind == "project" else otherwise


def _run(before: Past, project: str, subject: "Subject", since: str | None) -> "Run":
    from services.reading.compare import find_run

    history = before.history(project)
    after = before.log.sequence_at(project, before.position(project, since)) if since else 0
    return find_run(history, subject, after)


def _lines(compared: "Comparison", *, differing: bool) -> Iterator[str]:
    """A heading of two columns, and the pairs under it."""
    left, right = compared.left, compared.right
    pairs = [(place, pair) for place, pair in enumerate(compared.pairs) if not differing or pair.mark != "="]
    cells = [(_cell(pair.left), _cell(pair.right)) for _, pair in pairs]
    told = _told(left)
    width = max(map(len, (*told, *(cell for cell, _ in cells))))
    for one, other in zip(told, _told(right), strict=True):
        yield f"   {click.style(one.ljust(width), bold=True)}  {click.style(other, bold=True)}".rstrip()
    for (place, pair), (one, other) in zip(pairs, cells, strict=True):
        first = place == compared.first
        line = f"{pair.mark}  {one:<{width}}  {other}".rstrip() + (_FIRST if first else "")
        yield click.style(line, fg=_COLOURS[pair.mark], bold=first)
    if compared.first is None:
        yield "The same steps in both."


def _told(run: "Run") -> tuple[str, str]:
    """Which run it is, and what came of it."""
    tasks = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in sorted(run.tasks.items()))
    steps = f"{len(run.steps)} steps in {_span(run.duration_s)}"
    return clean(run.name), f"{steps}; {tasks}" if tasks else steps


def _cell(step: "RunStep | None") -> str:
    if step is None:
        return ""
    took = "" if step.took_s is None else _span(step.took_s)
    return f"{'+' + _span(step.offset_s):>10} {took:>9}  {clean(step.label)}"


def _span(seconds: float) -> str:
    """As exactly as its length deserves: 3.2 s, 0:05:51, 12d 04:00."""
    if seconds < _SECONDS_ALONE:
        return f"{seconds:.1f} s"
    span = timedelta(seconds=round(seconds))
    minutes = span.seconds // 60
    return f"{span.days}d {minutes // 60:02}:{minutes % 60:02}" if span.days else str(span)


def _document(compared: "Comparison") -> dict[str, Any]:
    return {
        "left": _summary(compared.left),
        "right": _summary(compared.right),
        "first_difference": compared.first,
        "steps": [_pair(pair) for pair in compared.pairs],
    }


def _summary(run: "Run") -> dict[str, Any]:
    return {"run": run.name, "steps": len(run.steps), "duration_s": run.duration_s, "tasks": run.tasks}


def _pair(pair: "Pair") -> dict[str, Any]:
    return {"mark": pair.mark, "left": pair.left, "right": pair.right}
