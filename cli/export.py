"""`coordctl export`: a project's log as a file."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.output import print_json
from cli.points import resolved
from cli.progress import bar, bars
from cli.session import new_codec, opened_log

if TYPE_CHECKING:
    from services.log.event_log import EventLog
    from services.log.logfile import Format, Header

STDOUT = Path("-")
PARQUET_SUFFIXES = (".parquet", ".pq")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path, allow_dash=True), default="-")
@click.option("--until", metavar="POINT", help="Only what happened up to this point.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "parquet"]),
    help="JSON lines or Parquet. [default: what FILE ends with, .parquet, or else JSON lines]",
)
@pass_context
def export(context: Context, file: Path, until: str | None, kind: "Format | None") -> None:
    """Write the log of the project to FILE; JSON lines go to stdout if it is - or not given.

    The file carries a hash chain over the events, and `coordctl import log` makes a project of it.

    A POINT is a position (1234), a sequence ('#56'), an ISO time (without a zone it is UTC), '5 minutes ago',
    a bookmark, or 'now'.

    For example: coordctl export book.jsonl --until "5 minutes ago"
    """
    kind = kind or ("parquet" if file.suffix.lower() in PARQUET_SUFFIXES else "jsonl")
    if file == STDOUT and kind == "parquet":
        raise click.UsageError("Parquet does not go to stdout; name a FILE.")
    if file.exists() and not file.is_file():
        raise click.UsageError(f"{file} is no regular file, which could be replaced; - is stdout.")
    with opened_log(context) as log:
        header = _header(log, context.project, until)
        if file == STDOUT:
            _to_stdout(log, header)
        else:
            _to_file(context, log, header, file, kind)


def _header(log: "EventLog", project: str, until: str | None) -> "Header":
    from services.log.transfer import header_of

    position = resolved(log, project, until) if until else log.head()
    return header_of(log, project, position, datetime.now(UTC))


def _to_stdout(log: "EventLog", header: "Header") -> None:
    from services.log.logfile import write_lines
    from services.log.transfer import export_log

    out = sys.stdout.buffer
    export_log(log, new_codec(), header, write_lines, out, lambda _: None)
    out.flush()


def _to_file(context: Context, log: "EventLog", header: "Header", file: Path, kind: "Format") -> None:
    import msgspec

    from services.log.logfile import replacing, writer_of
    from services.log.transfer import export_log

    write = writer_of(kind)
    with bars(shown=not context.as_json) as progress:
        advance = bar(progress, "exporting", header.count)
        try:
            with replacing(file) as out:
                end = export_log(log, new_codec(), header, write, out, advance)
        except OSError as error:
            raise click.UsageError(f"{file} cannot be written: {error.strerror or error}.") from error
    if context.as_json:
        print_json({"file": str(file), **msgspec.to_builtins(header), "hash": end.hash})
    else:
        events = f"{end.count} events of project {header.project}"
        click.echo(f"{file} holds {events}, up to position {header.last_position}.\nChain hash {end.hash}.")
