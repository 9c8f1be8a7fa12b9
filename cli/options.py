"""Options that several commands share."""

import getpass
import re
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from cli.types import NAME

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

MAX_ROWS = 10_000
DEFAULT_ROWS = 100
NAME_CHARS = 64
NEGATIVE_NUMBERS = {"ignore_unknown_options": True}
"""Settings of a command whose arguments may be negative numbers, which look like options."""


def operator() -> str:
    """Who asks if nobody is named: the login name, as far as it can be a name here."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return "operator"
    return re.sub(r"[^A-Za-z0-9_-]", "_", login)[:NAME_CHARS] or "operator"


acting = click.option(
    "--agent",
    "--as",
    "actor",
    type=NAME,
    envvar=("COORD_AGENT", "COORD_ACTOR"),
    default=operator,
    show_default="your login name",
    show_envvar=True,
    help="Who asks: an agent, or anybody else by name.",
)
"""For every command that changes something."""


as_of = click.option("--as-of", metavar="POINT", help="As it was at this point.")
"""For every command that shows what is so; `paged` has it."""


def paged(command: Decorated) -> Decorated:
    """What every list takes: `--as-of`, `--limit` and `--offset`, as `as_of`, `limit` and `offset`."""
    limit = click.option(
        "--limit",
        type=click.IntRange(1, MAX_ROWS),
        default=DEFAULT_ROWS,
        show_default=True,
        help="How many rows at most.",
    )
    offset = click.option(
        "--offset", type=click.IntRange(0), default=0, help="How many rows to leave out at the beginning."
    )
    return as_of(limit(offset(command)))


def searched(command: Decorated) -> Decorated:
    """`--search`, as the view's parameter `text`."""
    return click.option("--search", "text", help="Only rows that contain this text.")(command)


def named_project(own: str | None) -> str | None:
    """For a command whose own `--project` has no default: what it is given, before the command as well."""
    root = click.get_current_context().find_root()
    if own is None and root.get_parameter_source("project") is ParameterSource.COMMANDLINE:
        own = root.params["project"]
    return own


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given; the domain's defaults stand for the others."""
    return {name: value for name, value in fields.items() if value is not None and value != ()}
