"""Asking about sessions over NATS: what the other doors do, which only carry the answer."""

from collections.abc import Mapping
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from domain.errors import CoordError
from services.bus.caller import parse_answer
from services.bus.connection import connect
from services.bus.link import disconnect
from services.errors import TimedOut, Unavailable

TIMEOUT_S = 10.0


async def asked(
    nats: Client, project: str, view: str, params: Mapping[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """The position that the answer includes, and its rows. Raises Refused, Unavailable or TimedOut."""
    try:
        message = await nats.request(
            f"coord.{project}.get.{view}", msgspec.json.encode(params), timeout=TIMEOUT_S
        )
    except CoordError:
        raise  # the server's word
    except NoRespondersError as error:
        raise Unavailable(what="The gateway", why="none is running") from error
    except (TimeoutError, NatsError) as error:
        raise TimedOut(timeout_s=TIMEOUT_S) from error
    answer = parse_answer(message.data)
    rows: Any = answer.result
    return answer.position, list(rows)


async def ask(nats_url: str, project: str, view: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same for those who have no connection yet."""
    nats = await connect(nats_url, "coordctl-landing-client")
    try:
        _, rows = await asked(nats, project, view, params)
    finally:
        await disconnect(nats)
    return rows
