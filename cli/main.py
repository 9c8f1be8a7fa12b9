"""The command `coordctl`: its commands, the options of all of them, and how a run ends."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cli.context import Context
from cli.exits import INTERRUPTED, refuse, refuse_usage
from cli.lazy import LazyGroup
from cli.types import NAME
from domain.errors import CoordError

SECTIONS = {
    "Run it": {
        "up": "cli.up", "down": "cli.up", "status": "cli.status", "doctor": "cli.status",
        "console": "cli.console", "serve": "cli.serve", "demo": "cli.demo", "bench": "cli.bench",
        "prove": "cli.prove",
    },
    "Work": {
        "agent": "cli.agent", "persona": "cli.persona", "task": "cli.task", "handoff": "cli.handoff",
        "setting": "cli.setting", "session": "cli.sessions",
    },
    "Learn": {
        "failure": "cli.failure", "estimate": "cli.estimate", "retro": "cli.retro",
        "memory": "cli.memory", "recall": "cli.recall", "decision": "cli.decision", "spike": "cli.spike",
        "pattern": "cli.pattern", "docs": "cli.documentation", "complexity": "cli.complexity",
        "action": "cli.action", "plan": "cli.plan",
    },
    "Look": {
        "top": "cli.top",
        "events": "cli.events", "replay": "cli.replay", "projection": "cli.projection",
        "verify": "cli.verify",
    },
    "Travel": {
        "timeline": "cli.timeline", "step": "cli.step", "compare": "cli.compare",
        "diff": "cli.diff", "sql": "cli.sql", "checkpoint": "cli.checkpoint",
        "bookmark": "cli.bookmark", "fork": "cli.turns", "restore": "cli.turns", "export": "cli.export",
    },
    "Keep": {
        "backup": "cli.backup", "restore-backup": "cli.backup", "stream": "cli.stream",
        "migrate": "cli.migrate",
    },
    "Set up": {
        "access": "cli.access", "import": "cli.importing", "protocol": "cli.protocol",
        "openapi": "cli.openapi", "mcp": "cli.mcp",
        "completion": "cli.completion",
    },
}  # fmt: skip


class Coordctl(LazyGroup):
    """The command itself: whatever ends it, people get a sentence and scripts an exit code."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **more: Any) -> Any:
        arguments = sys.argv[1:] if args is None else list(args)
        as_json = "--json" in arguments
        try:
            super().main(arguments, **{**more, "prog_name": "coordctl", "standalone_mode": False})
            code = 0
        except click.exceptions.Exit as end:
            code = end.exit_code
        except click.ClickException as error:
            code = refuse_usage(error, as_json=as_json)
        except click.Abort:
            code = INTERRUPTED
        except CoordError as error:
            code = refuse(error, as_json=as_json)
        sys.exit(code)


@click.group(
    cls=Coordctl,
    sections=SECTIONS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--project", metavar="NAME", type=NAME, envvar="COORD_PROJECT", default="main", show_default=True,
    show_envvar=True, help="The project.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path), envvar="COORD_DATA", show_envvar=True,
    help="The data directory.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one document, or one per line.")
@click.option(
    "--log", "log_format", type=click.Choice(["lines", "json"]), envvar="COORD_LOG", default="lines",
    hidden=True, help="How services write their logs.",
)  # fmt: skip
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), envvar="COORD_LOG_LEVEL",
    default="info", hidden=True, help="From where on services write a line.",
)  # fmt: skip
@click.version_option(package_name="coordctl")
@click.pass_context
def coordctl(
    context: click.Context,
    data: Path | None,
    project: str,
    as_json: bool,
    log_format: str,
    log_level: str,
) -> None:
    """The control tower and flight recorder for fleets of AI agents.

    --project, --data and --json may stand before or after the command.
    """
    context.obj = Context(
        data=data, project=project, log_format=log_format, log_level=log_level, as_json=as_json
    )


def main() -> None:
    """Run the command line."""
    coordctl()


if __name__ == "__main__":
    main()
