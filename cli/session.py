"""The way from a command to the running system: commands over NATS, reads from the read models, the log.

What is imported here is imported late: help, completion and bad usage need none of it.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cli.context import Context
from cli.output import warn

if TYPE_CHECKING:
    from services.bus.caller import Answer
    from services.log.codec import Codec
    from services.log.event_log import EventLog
    from services.reading.past import Then
    from services.reading.reads import Item, Reads

CATCH_UP_TIMEOUT_S = 2.0


def ask(
    context: Context, actor: str, verb: str, fields: Mapping[str, Any], *, wait_s: float = 0.0
) -> "Answer":
    """Have a command carried out. What it lacks is found before anything is sent.

    Raises BadInput, BadName, PayloadTooLarge, NotRunning, and what Caller.ask raises.
    """
    import msgspec

    from services.bus.caller import Caller
    from services.bus.wire import TRACE_HEADER, check_name, parse_command, parse_trace
    from services.config import resolve_nats

    check_name("project", context.project)
    check_name("actor", actor)
    parse_command(verb, msgspec.json.encode(fields))
    config = context.config()
    nats_url, trace = resolve_nats(config), parse_trace({TRACE_HEADER: config.traceparent or ""})
    _be_quiet()

    async def asking() -> "Answer":
        async with Caller(nats_url, context.project, actor) as caller:
            return await caller.ask(verb, dict(fields), wait_s=wait_s, traceparent=trace)

    return asyncio.run(asking())


def read(context: Context, view: str, as_of: str | None = None, **params: Any) -> "list[Item]":
    """The rows of a view, as they are after everything that was in the log when it was asked for.

    With a POINT, as they were then.
    """
    with reading(context, as_of) as reads:
        return reads.read(context.project, view, params)


@contextmanager
def reading(context: Context, as_of: str | None = None) -> "Iterator[Reads | Then]":
    """The read models, caught up with the log as it is now, or a warning that they are not.

    With a POINT, as they were then, all that is read at one moment.
    """
    if as_of is not None:
        from services.reading.past import Past, Then

        with opened_log(context) as log:
            yield Then(Past(log.url, log), as_of)
        return
    from services.reading.reads import NotYetVisible, Reads

    url = context.doors().database_url
    _be_quiet()
    with opened_log(context) as log:
        head = log.head()
    with Reads(url, pool_connections=1) as reads:
        try:
            reads.wait_for(head, CATCH_UP_TIMEOUT_S)
        except NotYetVisible as error:
            warn(str(error))
        yield reads


@contextmanager
def opened_log(context: Context) -> "Iterator[EventLog]":
    """The log itself, to read."""
    from services.log.event_log import EventLog

    log = EventLog(context.doors().database_url)
    _be_quiet()
    try:
        yield log
    finally:
        log.close()


def new_codec() -> "Codec":
    from domain.catalog import EVENTS, upcast
    from services.log.codec import Codec

    return Codec(EVENTS, upcast)


def _be_quiet() -> None:
    """What the libraries log about lost connections is said once, by the error in the end."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
