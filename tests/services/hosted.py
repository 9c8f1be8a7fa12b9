"""coordctl's services inside the process of a test, on real servers: on its event loop, or in a thread."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from threading import Thread
from typing import Any

from services import wiring
from services.config import Doors
from services.embedded.nats import free_addresses
from services.roster import SERVICES

PATIENCE_S = 60


def free_port() -> int:
    return int(free_addresses()[0].partition(":")[2])


@asynccontextmanager
async def hosted(
    doors: Doors, names: Sequence[str] = SERVICES, *, port: int | None = None, **gateway: Any
) -> AsyncIterator[int]:
    """These services, ready to work; gives the gateway's port. `gateway` are options of it alone."""
    port = port or free_port()
    runs: dict[str, Any] = {
        **wiring.RUNS, "gateway": partial(wiring.run_gateway, port=port, **gateway)
    }  # fmt: skip
    stop, ready = asyncio.Event(), [asyncio.Event() for _ in names]
    running = [
        asyncio.ensure_future(runs[name](doors, stop, up.set)) for name, up in zip(names, ready, strict=True)
    ]
    waiting = asyncio.create_task(_all(ready))
    try:
        await asyncio.wait({waiting, *running}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert waiting.done(), f"not all are ready: {running}"
        yield port
    finally:
        waiting.cancel()
        stop.set()
        await asyncio.gather(*running)


async def _all(events: Sequence[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


@contextmanager
def hosted_in_a_thread(doors: Doors, names: Sequence[str] = SERVICES, **gateway: Any) -> Iterator[int]:
    """The same for clients that block."""
    up: Future[tuple[int, Callable[[], object]]] = Future()

    async def live() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        async with hosted(doors, names, **gateway) as port:
            up.set_result((port, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:
            if up.done():
                raise
            up.set_exception(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    port, end = up.result(PATIENCE_S)
    try:
        yield port
    finally:
        end()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
