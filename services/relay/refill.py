"""The stream made anew from the log: deleted here, created and filled by the relay, and compared in the end.

Deletes the stream; publishes nothing.
"""

import asyncio
from contextlib import suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from domain.errors import CoordError
from services.audit.audit import Check, audit_stream
from services.bus.connection import connect
from services.bus.link import disconnect
from services.errors import Unavailable
from services.log.event_log import EventLog
from services.log.transfer import Advance
from services.relay.stream import STREAM

RELAY_TIMEOUT_S = 20.0
"""How long a relay may take to notice that there is no stream; it looks every second, or after a failure
within five."""

FILL_WAIT_S = 10.0
"""How long the stream may grow by nothing before it is full."""

_POLL_S = 0.1


class NoRelay(CoordError):
    code = "no_relay"
    says = (
        "No relay has made stream {stream} anew within {timeout_s:g} s; start one, by `coordctl up` or"
        " `coordctl serve relay`, and it fills the stream."
    )
    retryable = True


async def rebuild_stream(
    log: EventLog, nats_url: str, advance: Advance, *, relay_timeout_s: float = RELAY_TIMEOUT_S
) -> Check:
    """Delete the stream, wait until the relay has filled it again, and compare it with the log.

    `advance` is told how many positions were gone through. Raises Unavailable or NoRelay.
    """
    client = await connect(nats_url, "coordctl-rebuild")
    try:
        with suppress(NotFoundError):
            await client.jetstream().delete_stream(STREAM)
        await _until_made(client, relay_timeout_s)
    except (NatsError, OSError) as error:
        raise Unavailable(what="NATS", why=str(error) or type(error).__name__) from error
    finally:
        await disconnect(client)
    return await audit_stream(log, nats_url, FILL_WAIT_S, advance)


async def _until_made(client: Client, timeout_s: float) -> None:
    """Return when there is a stream."""
    jetstream, limit = client.jetstream(), asyncio.timeout(timeout_s)
    try:
        async with limit:
            while True:
                with suppress(NotFoundError):
                    await jetstream.stream_info(STREAM)
                    return
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        if not limit.expired():
            raise  # it is the server that has not answered
        raise NoRelay(stream=STREAM, timeout_s=timeout_s) from error
