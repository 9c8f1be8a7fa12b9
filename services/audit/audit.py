"""The audit: do the log, the stream and the read models tell the same? It names the first difference of each.

Reads the log, the stream (by a consumer that is gone afterwards) and the tables; changes nothing.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig
from nats.js.errors import NotFoundError

from domain.errors import UnknownProject
from projections.framework import Projection
from services.audit.comparison import Comparison, Message
from services.audit.verify import Difference, verify
from services.bus.connection import connect
from services.bus.link import disconnect
from services.errors import Unavailable
from services.log.chain import BrokenHistory, Chain
from services.log.codec import Codec, UnknownEvent, UnreadableEvent
from services.log.event_log import EventLog
from services.log.transfer import Advance, rows_of
from services.relay.stream import STREAM, SUBJECTS

FETCH_MESSAGES = 500
STREAM_WAIT_S = 10.0
"""How long the stream may add nothing while it is behind the log."""

CONSUMER_IDLE_S = 60.0
"""After so long without us the server forgets our consumer."""


class Check(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was examined: what was found, or the first difference. `hash` is the chain's."""

    name: Literal["log", "stream", "read models"]
    ok: bool
    found: str
    project: str | None = None
    events: int | None = None
    hash: str | None = None


def audit_log(log: EventLog, codec: Codec, project: str, advance: Advance) -> Check:
    """Is a project's history whole, from its first event to the last there is now? Raises UnknownProject."""
    last = log.project_head(project)[0]
    if last == 0:
        raise UnknownProject(project=project)
    chain = Chain(codec)
    try:
        for rows in rows_of(log, project, last):
            for row in rows:
                chain.take(row)
            advance(len(rows))
    except BrokenHistory as error:
        return Check(name="log", project=project, ok=False, found=str(error))
    count, digest = chain.sequence, chain.hash.hex()
    found = f"{count} events, chain hash {digest}."
    return Check(name="log", project=project, ok=True, found=found, events=count, hash=digest)


def audit_read_models(log: EventLog, codec: Codec, url: str, projections: Sequence[Projection[Any]]) -> Check:
    """Are the tables what a replay of the log gives? Raises NoReadModels."""
    try:
        differences = verify(log, codec, url, projections, limit=1)
    except (UnknownEvent, UnreadableEvent) as error:
        return Check(name="read models", ok=False, found=str(error))
    if differences:
        return Check(name="read models", ok=False, found=_told(differences[0]))
    return Check(name="read models", ok=True, found=f"all {len(projections)} are what the log says.")


async def audit_stream(
    log: EventLog, nats_url: str, wait_s: float = STREAM_WAIT_S, advance: Advance = lambda _: None
) -> Check:
    """Does the stream hold the log's events, each once and in order, from the first that it has kept?

    A stream that lags is waited for, as long as it goes on. `advance` is told how many positions were gone
    through. Raises Unavailable.
    """
    head = await asyncio.to_thread(log.head)
    client = await connect(nats_url, "coordctl-verify")
    try:
        return await _audit_stream(client, log, head, wait_s, advance)
    except (NatsError, OSError) as error:
        raise Unavailable(what="NATS", why=str(error) or type(error).__name__) from error
    finally:
        await disconnect(client)


async def _audit_stream(client: Client, log: EventLog, head: int, wait_s: float, advance: Advance) -> Check:
    jetstream = client.jetstream()
    try:
        info = await jetstream.stream_info(STREAM)
    except NotFoundError:
        found = f"There is no stream {STREAM}; the relay creates and fills it."
        return Check(name="stream", ok=head == 0, found=found)
    comparison = Comparison(
        log, limited=_is_limited(info.config), gaps_allowed=(info.config.max_msgs_per_subject or 0) > 0
    )
    why = await _compare(jetstream, comparison, info.state.last_seq, head, wait_s, advance)
    if why:
        return Check(name="stream", ok=False, found=f"{why}.", events=comparison.events)
    return Check(name="stream", ok=True, found=_found(comparison), events=comparison.events)


async def _compare(
    jetstream: JetStreamContext,
    comparison: Comparison,
    last_sequence: int,
    head: int,
    wait_s: float,
    advance: Advance,
) -> str:
    """The first difference up to where the stream and the log were; empty if there is none."""
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        inactive_threshold=CONSUMER_IDLE_S,
    )
    messages = await jetstream.pull_subscribe(SUBJECTS, stream=STREAM, config=config)
    try:
        while comparison.sequence < last_sequence or comparison.position < head:
            if not (batch := await _fetch(messages, wait_s)):
                why = await asyncio.to_thread(comparison.end, head, last_sequence)
                return why and f"{why}; nothing came for {wait_s:g} s, so see if the relay is at work"
            before = comparison.position
            if why := await asyncio.to_thread(comparison.take, [_message(each) for each in batch]):
                return why
            advance(comparison.position - before)
        return ""
    finally:
        with suppress(NatsError):  # then the server forgets it by itself
            await jetstream.delete_consumer(STREAM, config.name or "")


async def _fetch(messages: JetStreamContext.PullSubscription, wait_s: float) -> list[Msg]:
    """The next messages; none if nothing came, which the client tells by an error or by an empty list."""
    try:
        return await messages.fetch(FETCH_MESSAGES, timeout=wait_s)
    except TimeoutError:
        return []


def _is_limited(config: StreamConfig) -> bool:
    """Whether the server may discard messages of the stream: the relay's own has no limits."""
    limits = (config.max_age, config.max_bytes, config.max_msgs, config.max_msgs_per_subject)
    return any((limit or 0) > 0 for limit in limits)


def _message(message: Msg) -> Message:
    place = message.metadata.sequence.stream
    return Message(place, message.subject, message.headers or {}, message.data)


def _found(comparison: Comparison) -> str:
    """What is worth telling of a stream that is as it should be."""
    told = [f"{comparison.events} messages are the log's events, in order"]
    if comparison.discarded:
        told.append(f"{comparison.discarded} events were discarded by the stream's limits")
    if comparison.foreign:
        told.append(f"not the relay's: {comparison.foreign}")
    return f"{'; '.join(told)}."


def _told(difference: Difference) -> str:
    name = difference.projection
    remedy = f"`coordctl projection rebuild {name}` builds it anew."
    if difference.key is None:
        versions = f"version {difference.table}, not {difference.replayed}"
        return f"The table of {name} is of {versions}; the projector builds the new one."
    row = f"{name} {'/'.join(map(str, difference.key))}"
    if difference.field is not None:
        values = f"{difference.table!r} in the table and {difference.replayed!r} by the log"
        return f"{difference.field} of {row} is {values}; {remedy}"
    where = (
        "in the table and not by the log"
        if difference.replayed is None
        else "by the log and not in the table"
    )
    return f"The row {row} is there {where}; {remedy}"
