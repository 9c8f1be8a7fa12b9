"""Asking the recall service: what the doors do with a search, which they only carry."""

from collections.abc import Mapping
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from domain.errors import CoordError
from services.access.permissions import SEARCHES
from services.bus.caller import parse_answer
from services.bus.connection import connect
from services.bus.link import disconnect
from services.errors import TimedOut, Unavailable
from services.recall.params import VIEW

TIMEOUT_S = 6.0


async def carry(nats: Client, project: str, payload: bytes) -> bytes:
    """The recall service's reply to a search, as it came. Raises Unavailable or TimedOut."""
    subject = f"{SEARCHES[:-1]}{project}"
    try:
        message = await nats.request(subject, payload, timeout=TIMEOUT_S)
    except CoordError:
        raise  # the server's word
    except NoRespondersError as error:
        raise Unavailable(what="The search", why="the recall service is not running") from error
    except (TimeoutError, NatsError) as error:
        raise TimedOut(timeout_s=TIMEOUT_S) from error
    return bytes(message.data)


async def recall(nats: Client, project: str, params: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """The position that the search includes, and what it found. Raises Refused, Unavailable or TimedOut."""
    answer = parse_answer(await carry(nats, project, msgspec.json.encode(params)))
    found: Any = answer.result
    return answer.position, list(found)


async def ask(
    nats_url: str, project: str, params: Mapping[str, Any], timeout_s: float = TIMEOUT_S
) -> list[dict[str, Any]]:
    """What a search finds, for those who have no connection yet: through a gateway, as every read.

    Raises Refused, Unavailable or TimedOut.
    """
    nats = await connect(nats_url, "coordctl-recall-client")
    try:
        payload = msgspec.json.encode(params)
        message = await nats.request(f"coord.{project}.get.{VIEW}", payload, timeout=timeout_s)
    except CoordError:
        raise
    except NoRespondersError as error:
        raise Unavailable(what="The gateway", why="none is running") from error
    except (TimeoutError, NatsError) as error:
        raise TimedOut(timeout_s=timeout_s) from error
    finally:
        await disconnect(nats)
    found: Any = parse_answer(message.data).result
    return list(found)
