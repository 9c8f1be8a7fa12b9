"""The command `coordctl`: its options, its commands, and what a refusal looks like to people and scripts."""

import sys
from pathlib import Path

import click

from cli.bench import bench
from cli.context import Context
from cli.serve import serve
from cli.status import doctor, status
from cli.up import down, up
from domain.errors import CoordError, NotFound, Rejection

USAGE = 2
REJECTED = 3
NOT_FOUND = 4
UNAVAILABLE = 5


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--data", type=click.Path(path_type=Path), envvar="COORD_DATA", help="The data directory.")
@click.option("--project", envvar="COORD_PROJECT", default="default", show_default=True)
@click.option(
    "--log",
    "log_format",
    type=click.Choice(["lines", "json"]),
    envvar="COORD_LOG",
    default="lines",
    hidden=True,
)
@click.version_option(package_name="coordctl")
@click.pass_context
def coordctl(context: click.Context, data: Path | None, project: str, log_format: str) -> None:
    """The control tower and flight recorder for fleets of AI agents."""
    context.obj = Context(data=data, project=project, log_format=log_format)


for command in (up, down, status, doctor, serve, bench):
    coordctl.add_command(command)


def main() -> None:
    """Run the command line; refusals become one sentence and an exit code."""
    try:
        coordctl()
    except CoordError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_code(error))


def exit_code(error: CoordError) -> int:
    """The code that scripts tell refusals apart by."""
    match error:
        case NotFound():
            return NOT_FOUND
        case Rejection():
            return REJECTED
        case _:
            return UNAVAILABLE if error.retryable or error.code == "not_running" else 1


if __name__ == "__main__":
    main()
