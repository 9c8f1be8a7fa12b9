"""What every command is told: where the data are, which project, and where the doors are found."""

import os
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # help and completion need none of it
    from services.config import Config, Doors


@dataclass(frozen=True, kw_only=True)
class Context:
    """The options that all commands have."""

    data: Path | None
    project: str
    log_format: str
    log_level: str = "info"
    as_json: bool = False

    def config(self) -> "Config":
        """What the operator chose, by options and environment."""
        from services.config import Config

        return Config.from_env(os.environ, self.data)

    def doors(self) -> "Doors":
        """The doors of the running system. Raises NotRunning."""
        from services.config import resolve

        return resolve(self.config())


pass_context = click.make_pass_decorator(Context)


def _also_before(context: click.Context, _: click.Parameter, value: bool) -> bool:
    """`coordctl --json status` is `coordctl status --json`."""
    known = context.find_object(Context)
    return value or (known is not None and known.as_json)


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_also_before, help="Print one JSON document."
)
"""For a command that takes `as_json`; the others find it in their context."""


def program() -> list[str]:
    """The command that runs `coordctl` again: this interpreter and these packages, wherever it is called."""
    return [sys.executable, "-P", "-m", "cli.main"]


def environ() -> dict[str, str]:
    """Our environment, in which `program` finds the packages."""
    packages = str(Path(__file__).resolve().parent.parent)
    if packages == sysconfig.get_path("purelib"):
        return dict(os.environ)
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{packages}{os.pathsep}{known}" if known else packages}
