"""Commands that are imported when they are asked for, and the options that every command has."""

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from cli.context import Context
from cli.types import NAME

Sections = Mapping[str, Mapping[str, str]]
"""Under each heading the commands, by name, and the modules that hold them."""


_WITHOUT_JSON = {"serve", "completion", "top"}
"""What they print is no data."""


class LazyGroup(click.Group):
    """A group that imports what it runs. A module holds its command under the command's name.

    A name that Python does not allow is written as it does: `import_`, `restore_backup`.
    """

    def __init__(self, *arguments: Any, sections: Sections, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.sections = sections
        self._modules = {name: module for commands in sections.values() for name, module in commands.items()}

    def list_commands(self, _: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        """A name that does not exist loads them all, so that it can be compared with those that do."""
        for name in (cmd_name,) if cmd_name in self._modules else self._modules:
            if name not in self.commands:
                self.add_command(self._load(name), name)
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self._modules), default=0)
        limit = formatter.width - 6 - width
        for heading, names in self.sections.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None, name
                rows.append((name.ljust(width), command.get_short_help_str(limit)))
            with formatter.section(heading):
                formatter.write_dl(rows)

    def _load(self, name: str) -> click.Command:
        module = import_module(self._modules[name])
        command = getattr(module, "import_" if name == "import" else name.replace("-", "_"))
        assert isinstance(command, click.Command), name
        return with_common_options(command)


def with_common_options(command: click.Command) -> click.Command:
    """The command, or each of a group's, with the options that all have; its own go before them."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            with_common_options(each)
    else:
        own = {name for parameter in command.params for name in parameter.opts}
        if command.name in _WITHOUT_JSON:
            own.add("--json")
        command.params += [option for option in common_options() if not own & {*option.opts}]
    return command


def common_options() -> list[click.Option]:
    """Those that stand before or after the command as one likes."""
    return [
        _common("--json", "as_json", is_flag=True, help="Print JSON: one document, or one per line."),
        _common("--project", metavar="NAME", type=NAME, help="The project. [env: COORD_PROJECT]"),
        _common("--data", type=click.Path(path_type=Path), help="The data directory. [env: COORD_DATA]"),
    ]


def _common(*declarations: str, **more: Any) -> click.Option:
    def choose(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        known = context.find_object(Context)
        if value and known is not None and parameter.name is not None:
            context.obj = replace(known, **{parameter.name: value})

    return click.Option(declarations, expose_value=False, callback=choose, **more)
