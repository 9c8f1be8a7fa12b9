"""`coordctl backup` and `coordctl restore-backup`: the whole log as one file, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from cli.context import Context, pass_context
from cli.output import moment, print_json, print_rows
from cli.progress import bar, bars
from cli.session import new_codec

if TYPE_CHECKING:
    from services.backup.writing import Backup, Begun

PRIVATE = 0o600
_FILE = click.Path(path_type=Path)


class FileOrVerb(click.Group):
    """`backup FILE` is `backup create FILE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["create", *args]
        return super().parse_args(ctx, args)


@click.group(cls=FileOrVerb, subcommand_metavar="FILE | create FILE | verify FILE")
def backup() -> None:
    """Write the whole log to FILE while everything runs, or prove that such a file is whole.

    `coordctl backup FILE` is short for `coordctl backup create FILE`. For a file that is called create or
    verify, write ./create or ./verify.
    """


@backup.command()
@click.argument("file", type=_FILE)
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@pass_context
def create(context: Context, file: Path, force: bool) -> None:
    """Write the log of all projects, as it is at this moment, to FILE.

    Agents may go on working. Every event is in it with its position and its sequence, sealed by hashes; so
    bookmarks, forks and points in time mean the same after `coordctl restore-backup`. Read models,
    checkpoints and the stream are not in it: they are made from the log. FILE appears when it is whole, and
    only its owner may read it.

    For example: coordctl backup /backups/coordctl-monday
    """
    from services.alone import database_of
    from services.backup.writing import write_backup
    from services.log.logfile import replacing

    if file.exists() and not file.is_file():
        raise click.UsageError(f"{file} is no regular file, which could be replaced.")
    if file.exists() and not force:
        raise click.UsageError(f"{file} exists already; choose another name, or replace it with --force.")
    with database_of(context.config()) as url, _progress(context, "backing up") as begun:
        try:
            with replacing(file, mode=PRIVATE) as out:
                made = write_backup(url, new_codec(), out, datetime.now(UTC), begun)
        except OSError as error:
            raise click.UsageError(f"{file} cannot be written: {error.strerror or error}.") from error
    _tell(context, file, made, "holds")


@backup.command()
@click.argument("file", type=_FILE)
@pass_context
def verify(context: Context, file: Path) -> None:
    """Check that a backup is whole, and print what it holds of each project.

    Every byte is compared with the hashes in the file, every event is read and must follow the one before it.
    The chain hash of a project is the one that `coordctl verify` prints and an export has. Needs no running
    system. The exit code is 1 at the first damage.
    """
    from services.backup.reading import check_backup

    with _opened(file) as opened, _progress(context, "checking") as begun:
        found = check_backup(opened, file.name, new_codec(), begun)
    _tell(context, file, found, "is whole and holds")


@click.command("restore-backup")
@click.argument("file", type=_FILE)
@pass_context
def restore_backup(context: Context, file: Path) -> None:
    """Fill an empty log from a backup: every event at the position and sequence that it had.

    The database must be empty: that of a new data directory, whether `coordctl up` runs on it or not, or of
    COORD_DATABASE_URL. All of the file is restored or nothing. Services that run notice it by themselves:
    writers open the projects, the projector makes the read models, the relay fills the stream. Then `coordctl
    verify` compares them.

    (To go back to an earlier state within a project, see `coordctl restore`.)

    For example: coordctl --data /srv/new restore-backup /backups/coordctl-monday
    """
    from services.alone import database_of
    from services.backup.reading import BackupReader
    from services.backup.restoring import restore_backup as restore

    with _opened(file) as opened:
        reader = BackupReader(opened, file.name, new_codec())
        with database_of(context.config(), create=True) as url, _progress(context, "restoring") as begun:
            restored = restore(url, reader, begun)
    _tell(context, file, restored, "is restored:")


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror or error}.") from error


@contextmanager
def _progress(context: Context, what: str) -> "Iterator[Begun]":
    with bars(shown=not context.as_json) as progress:
        yield lambda header: bar(progress, what, header.head)


def _tell(context: Context, file: Path, found: "Backup", done: str) -> None:
    """What the file holds, project by project."""
    import msgspec

    header = found.header
    rows = [msgspec.to_builtins(each) for each in found.projects]
    if context.as_json:
        print_json(
            {"file": str(file), **msgspec.to_builtins(header), "events": found.events, "projects": rows}
        )
        return
    print_rows(context, rows, ("project", "events", "sequence", "hash"), "")
    events = f"{found.events} events of {len(rows)} projects up to position {header.head}"
    click.echo(f"{file} {done} {events}, as of {moment(header.made_at)}.")
