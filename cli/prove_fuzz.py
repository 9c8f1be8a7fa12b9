"""`coordctl prove fuzz`: hostile messages at a system of its own."""

import random
import sys

import click

from cli.context import environ, json_option, program
from cli.exits import FAULT
from cli.output import clean, print_json

MIN_MESSAGES, MAX_MESSAGES = 100, 100_000_000
MAX_SEED = 2**31 - 1


@click.command()
@click.option(
    "--messages", type=click.IntRange(MIN_MESSAGES, MAX_MESSAGES), default=100_000, show_default=True,
    help="How many messages are sent.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, MAX_SEED), help="What chance is made of.  [default: another each time]"
)
@json_option
def fuzz(messages: int, seed: int | None, as_json: bool) -> None:
    """Send hostile messages, and see whether anything comes of them.

    Random bytes, broken JSON, every Unicode, huge numbers and payloads, odd subjects, reply subjects and
    headers, bare bytes on the sockets of NATS and HTTP; none of them is a good command. Each is to be told a
    typed error or nothing, no event may be written, no process may end or grow, and the logs must stay small.
    The exit code is 1 if any of that is not so.

    For example: coordctl prove fuzz --messages 20000 --seed 1
    """
    import uvloop

    from services.prove.fuzz import fuzz as fire
    from services.prove.fuzz_report import document, page
    from services.prove.fuzz_target import running_target

    chosen = random.randrange(MAX_SEED) if seed is None else seed  # noqa: S311  # dice, no secret
    with running_target(program(), environ()) as target:
        result = uvloop.run(fire(target, messages, chosen))
    if as_json:
        print_json(document(result))
    else:
        click.echo("\n".join(clean(line) for line in page(result).splitlines()))
    if not result.ok:
        sys.exit(FAULT)
