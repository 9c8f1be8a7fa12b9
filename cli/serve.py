"""`coordctl serve`: one service as a process, for `up`, for containers and for other supervisors."""

import asyncio
import os
import sys
from functools import partial

import click

from cli.context import Context, pass_context
from services.roster import SERVICES

UNAVAILABLE = 5
NICENESS = {"writer": 3, "relay": 3, "recall": 5}
"""Who gives way when the processors are full: else the projector, which has the most work to do for an event,
falls ever further behind the writer that makes them."""


@click.command()
@click.argument("service", type=click.Choice(SERVICES))
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the gateway listens.")
@click.option(
    "--name", "names", multiple=True, envvar="COORD_HTTP_HOSTS", show_envvar=True,
    help="A host name that the gateway goes by, beside --host and those of loopback. Repeatable.",
)  # fmt: skip
@click.option(
    "--open-metrics", is_flag=True,
    help="Tell metrics and readiness without a token, although others can reach --host.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Only ask whether one runs on this host; exit code 0 or 5.")
@click.option("--ready-fd", type=int, envvar="COORD_READY_FD", hidden=True)
@click.option("--life-fd", type=int, envvar="COORD_LIFE_FD", hidden=True)
@pass_context
def serve(
    context: Context,
    service: str,
    host: str,
    names: tuple[str, ...],
    open_metrics: bool,
    check: bool,
    ready_fd: int | None,
    life_fd: int | None,
) -> None:
    """Run one service until it is told to stop (SIGTERM).

    It needs COORD_DATABASE_URL and COORD_NATS_URL, or a running `coordctl up`, and waits for servers that do
    not answer yet. Any number of each may run: writers share the projects and projectors the read models; of
    the relays one works, and the others stand by.
    """
    if check:
        sys.exit(0 if asyncio.run(_answers(context.doors().nats_url, service)) else UNAVAILABLE)
    from services import logs, serving, wiring

    logs.set_up(service, context.log_format, context.log_level)
    os.nice(NICENESS.get(service, 0))
    run = partial(wiring.RUNS[service], context.doors())
    if service == "gateway":
        config = context.config()
        run = partial(
            run, host=host, port=config.http_port or 0, data=config.data, names=names,
            open_metrics=open_metrics, monitor_urls=config.nats_monitor_urls,
        )  # fmt: skip
    if service == "recall":
        from services.recall.choice import chosen

        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more of them only wait for each other
        run = partial(run, choice=chosen(os.environ))
    sys.exit(serving.serve(run, ready_fd=ready_fd, life_fd=life_fd))


async def _answers(nats_url: str, service: str) -> bool:
    """Whether a process of this service answers from this host."""
    from services.bus.link import Link
    from services.doors.reports import gather, is_here

    link = Link(nats_url, "coordctl-check")
    try:
        reports = await gather(await link.connect(patient=False))
    finally:
        await link.close()
    return any(report.service == service and is_here(report) for report in reports)
