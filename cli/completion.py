"""`coordctl completion`: what a shell needs to complete our commands."""

import click

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_COORDCTL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets a shell complete coordctl's commands and options.

    \b
    bash: eval "$(coordctl completion bash)"   in ~/.bashrc
    zsh:  eval "$(coordctl completion zsh)"    in ~/.zshrc
    fish: coordctl completion fish | source    in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, shell
    root = context.find_root()
    click.echo(kind(root.command, {}, "coordctl", VARIABLE).source())
