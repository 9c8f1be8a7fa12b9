"""`coordctl import`: take over the work of another tracker, or a project that was exported."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from cli.context import Context, json_option, pass_context
from cli.options import named_project
from cli.output import print_json, warn
from cli.progress import Advance, bar, bars
from cli.session import new_codec, opened_log
from cli.types import NAME

if TYPE_CHECKING:
    from services.imports.beads import Plan
    from services.log.logfile import LogFile
    from services.log.transfer import Imported

ACTOR = "importer"
SHOWN_NOTES = 20


@click.group("import")
def import_() -> None:
    """Take over the work of another tracker, or a project that was exported."""


@import_.command()
@click.argument("file", type=click.File("rb"))
@click.option("--persona", type=NAME, help="Who may take the open tasks. [default: any agent]")
@click.option("--dry-run", is_flag=True, help="Read and report; import nothing.")
@json_option
@pass_context
def beads(context: Context, file: BinaryIO, persona: str | None, dry_run: bool, as_json: bool) -> None:
    """Import the issue export of the beads tracker (JSON lines; - reads standard input).

    Blocking dependencies, parents, links and priorities are kept; closed issues become completed tasks, and
    tombstones are left out. Odd rows are reported, mended or skipped, and the import goes on. Tasks that are
    known already are left as they are, so importing twice changes nothing.
    """
    from services.imports.beads import read_issues
    from services.imports.importing import lines_of

    with bars(shown=not as_json) as progress:
        read = bar(progress, "reading", _size_bytes(file))
        try:
            plan = read_issues(lines_of(file, read), persona)
        except OSError as error:
            raise click.UsageError(f"{file.name} cannot be read: {error.strerror or error}.") from error
        new = None
        if not dry_run:
            new = asyncio.run(_send(context, plan, bar(progress, "importing", len(plan.tasks))))
    summary = _summary(plan, new)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2))
    else:
        click.echo("\n".join(_describe(plan, summary)))


@import_.command("log")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--as", "--project", "name", type=NAME, help="The new project. [default: the exported one]")
@pass_context
def log_(context: Context, file: Path, name: str | None) -> None:
    """Make a project of a log that `coordctl export` wrote, in either format.

    Sequences and hashes stay as they were; positions are new. The whole file is checked before anything is
    written. A project that has other events is left alone; one that has the first events of the file, as
    after an import that was cut short, gets the rest; importing twice changes nothing.

    For example: coordctl import log book.jsonl --as book-copy
    """
    from services.log.logfile import opened

    if not file.is_file():
        raise click.UsageError(f"{file} is no file; a log is read twice, so it cannot come through a pipe.")
    try:
        with opened(file) as log_file:
            done = _import_log(context, log_file, named_project(name) or log_file.header.project)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror or error}.") from error
    if context.as_json:
        print_json(done)
    elif done.new == 0:
        click.echo(f"Project {done.project} has all {done.count} events already; nothing was changed.")
    else:
        before = f", {done.known} of them before" if done.known else ""
        click.echo(f"Project {done.project} has the {done.count} events of the file{before}.")
        click.echo(f"Chain hash {done.hash}.")


def _import_log(context: Context, file: "LogFile", project: str) -> "Imported":
    from services.log.transfer import import_log

    with opened_log(context) as log, bars(shown=not context.as_json) as progress:
        check = bar(progress, "checking", file.header.count)
        append = bar(progress, "importing", file.header.count)
        try:
            return import_log(log, new_codec(), file, project, check, append)
        except KeyboardInterrupt:
            warn("Interrupted; run the same command again, and it goes on from there.")
            raise


async def _send(context: Context, plan: "Plan", advance: Advance) -> int:
    from services.bus.caller import Caller
    from services.imports.importing import send
    from services.log.event_log import EventLog

    doors = context.doors()
    log = EventLog(doors.database_url)
    try:
        head = await asyncio.to_thread(log.head)
    finally:
        log.close()
    async with Caller(doors.nats_url, context.project, ACTOR) as caller:
        return await send(caller, plan.tasks, head, advance)


def _size_bytes(file: BinaryIO) -> int | None:
    """The size of the file; None for what has none, such as a pipe."""
    if not file.seekable():
        return None
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _summary(plan: "Plan", new: int | None) -> dict[str, Any]:
    """The report as data; without `new` and `known` after a dry run."""
    import msgspec

    completed = sum(task.status == "completed" for task in plan.tasks)
    report: dict[str, Any] = msgspec.to_builtins(plan.report)
    counts = {"tasks": len(plan.tasks), "open": len(plan.tasks) - completed, "completed": completed}
    sent = {} if new is None else {"new": new, "known": len(plan.tasks) - new}
    return {"dry_run": new is None} | counts | sent | report


def _describe(plan: "Plan", summary: dict[str, Any]) -> list[str]:
    report = plan.report
    lines = [f"{report.rows} rows: {summary['open']} open tasks, {summary['completed']} completed ones."]
    if report.tombstones:
        edges = f"{report.edges_to_tombstones} dependencies on them"
        lines.append(f"{report.tombstones} tombstones are left out, with {edges}.")
    for note in report.notes[:SHOWN_NOTES]:
        issue = f" ({note.issue})" if note.issue else ""
        lines.append(f"line {note.line}{issue} {note.action}: {note.problem}")
    if (more := report.skipped + report.mended - SHOWN_NOTES) > 0:
        lines.append(f"… and {more} more remarks; --json lists {len(report.notes)}.")
    if report.skipped or report.mended:
        lines.append(f"{report.skipped} rows skipped, {report.mended} remarks on rows that were mended.")
    if summary["dry_run"]:
        lines.append("Nothing was imported: this was a dry run.")
    else:
        lines.append(f"{summary['new']} new tasks, {summary['known']} known before.")
    return lines
