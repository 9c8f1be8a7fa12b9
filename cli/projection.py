"""`coordctl projection`: the read models themselves, as against what is in them."""

import sys
from typing import TYPE_CHECKING, Any

import click

from cli.context import Context, pass_context
from cli.exits import FAULT
from cli.output import print_json, print_rows, warn
from cli.session import new_codec, opened_log

if TYPE_CHECKING:
    from projections.framework import Projection
    from services.projector.rebuild import Progress


@click.group()
def projection() -> None:
    """See how far the read models are, build them anew, prove them right."""


@projection.command("list")
@pass_context
def list_(context: Context) -> None:
    """List the read models: their version, their table, how far behind the log they are."""
    from services.projector.tables import connected
    from services.projector.tracking import tracked

    with opened_log(context) as log:
        head = log.head()
    with connected(context.doors().database_url) as connection:
        found = tracked(connection)
    columns = ("name", "version", "table_name", "position", "behind")
    rows = [
        {
            **{name: getattr(each, name) for name in columns[:-1]},
            "behind": max(head - each.position, 0),
        }
        for each in found.values()
    ]
    print_rows(context, rows, columns, "There are none yet; the projector makes them.")


@projection.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@pass_context
def rebuild(context: Context, names: tuple[str, ...], everything: bool) -> None:
    """Build read models anew from the log, beside the tables that go on being served, and swap them in."""
    from services.projector.rebuild import rebuild as build

    if bool(names) == everything:
        raise click.UsageError("Name the projections to rebuild, or say --all.")
    from services.tuning import collect_seldom, switch_often

    collect_seldom()
    switch_often()
    url = context.doors().database_url
    chosen = _named(names)
    title = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} projections"
    with opened_log(context) as log, _Bar(title, shown=sys.stderr.isatty()) as bar:
        build(log, new_codec(), url, chosen, progress=bar)
    rebuilt = [{"name": each.name, "version": each.version, "events": bar.events} for each in chosen]
    if context.as_json:
        print_json(rebuilt)
        return
    for row in rebuilt:
        click.echo(f"{row['name']} is rebuilt from {row['events']} events.")


@projection.command()
@click.argument("names", nargs=-1)
@pass_context
def verify(context: Context, names: tuple[str, ...]) -> None:
    """Compare read models, row for row, with a replay of the log; without NAMES all of them.

    The exit code is 1 if they differ.
    """
    import msgspec

    from services.audit.verify import verify as differences
    from services.tuning import collect_seldom

    collect_seldom()
    with opened_log(context) as log:
        found = differences(log, new_codec(), context.doors().database_url, _named(names))
    rows = [msgspec.to_builtins(each) for each in found]
    if context.as_json:
        print_json({"equal": not rows, "differences": rows})
    elif rows:
        print_rows(context, rows, ("projection", "key", "field", "table", "replayed"), "")
        warn("The tables differ from the log; `coordctl projection rebuild` builds them anew.")
    else:
        click.echo("The read models are what the log says, row for row.")
    if rows:
        sys.exit(FAULT)


def _named(names: tuple[str, ...]) -> "list[Projection[Any]]":
    """Those of these names, or all. Raises UnknownProjection."""
    from projections.catalog import PROJECTIONS
    from services.projector.tracking import UnknownProjection

    known = {each.name: each for each in PROJECTIONS}
    for name in names:
        if name not in known:
            raise UnknownProjection(projection=name)
    return [known[name] for name in names] or list(PROJECTIONS)


class _Bar:
    """A progress bar on a terminal's stderr, which also remembers how many events there were."""

    def __init__(self, name: str, *, shown: bool) -> None:
        self.events = 0
        self._name = name
        self._shown = shown

    def __enter__(self) -> "_Bar":
        if self._shown:
            from rich.console import Console
            from rich.progress import Progress as Bars

            self._bars = Bars(console=Console(stderr=True), transient=True)
            self._task = self._bars.add_task(self._name, total=None)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._bars.stop()

    def __call__(self, progress: "Progress") -> None:
        self.events = progress.events
        if self._shown:
            self._bars.update(self._task, total=progress.target, completed=progress.position)
