"""The life of a service's process: an event loop, signals, readiness, and an exit code that tells the truth.

A supervisor hands two pipes to the process: on one it is told that the service is ready, the other ends when
the supervisor does, and the service then ends too.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from signal import SIGINT, SIGTERM
from typing import Any

import uvloop

from domain.errors import CoordError
from services.tuning import collect_seldom
from services.waiting import ToldToStop, first_of

STOP_TIMEOUT_S = 25.0

DONE = 0
FAILED = 1

Ready = Callable[[], None]
Service = Callable[[asyncio.Event, Ready], Awaitable[None]]
"""Works until the event is set; calls `Ready` when whoever needs it may come."""

logger = logging.getLogger(__name__)


def serve(service: Service, *, ready_fd: int | None = None, life_fd: int | None = None) -> int:
    """Run a service until SIGTERM, SIGINT or the end of `life_fd`; returns the exit code."""
    logger.info("starting as process %d", os.getpid())
    try:
        run(_live(service, _teller(ready_fd), life_fd))
    except ToldToStop:
        return DONE
    except CoordError as error:
        logger.critical("the service ends: %s", error)
        return FAILED
    except Exception:  # the process ends here, and the traceback says why
        logger.critical("the service failed and ends", exc_info=True)
        return FAILED
    logger.info("ended in order")
    return DONE


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on the event loop that services use."""
    collect_seldom()
    uvloop.run(main)


async def _live(service: Service, ready: Ready, life_fd: int | None) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop, life_fd)
    work = asyncio.ensure_future(service(stop, ready))
    await first_of(work, stop)
    if not work.done():
        await asyncio.wait({work}, timeout=STOP_TIMEOUT_S)
    if not work.done():
        logger.critical("the service did not finish within %.0f s of being told to stop", STOP_TIMEOUT_S)
        logging.shutdown()
        os._exit(FAILED)  # a thread that does not end would keep the process for ever
    await work


def _stop_on_signals(stop: asyncio.Event, life_fd: int | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (SIGTERM, SIGINT):
        loop.add_signal_handler(number, stop.set)
    if life_fd is None:
        return

    def orphaned() -> None:
        loop.remove_reader(life_fd)  # nothing is ever written to it: it can only have ended
        logger.warning("the supervisor is gone, so this service ends")
        stop.set()

    loop.add_reader(life_fd, orphaned)


def _teller(ready_fd: int | None) -> Ready:
    """What tells the supervisor, once, that the service is ready."""
    told = False

    def ready() -> None:
        nonlocal told
        if told:
            return
        told = True
        logger.info("ready")
        if ready_fd is not None:
            os.write(ready_fd, b"ready\n")
            os.close(ready_fd)

    return ready
