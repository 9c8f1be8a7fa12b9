"""Waiting for the first of several things, on an event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ToldToStop(Exception):
    """Unwinds a service that was told to stop before it had begun to work."""


def heed_cancellation() -> None:
    """Raise CancelledError if the task is to end: a library's wait that ends in that very moment loses it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def either(stop: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the event or the timeout; whether it was the event."""
    try:
        await asyncio.wait_for(stop.wait(), timeout_s)
    except TimeoutError:
        return False
    return True


async def first_of(work: "asyncio.Future[Any]", stop: asyncio.Event, timeout_s: float | None = None) -> None:
    """Return when the work is done, the event is set, or the time is over."""
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopping}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


async def unless(stop: asyncio.Event, waiting: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns; it is given up, with ToldToStop, when the event is set first."""
    work = asyncio.create_task(waiting)
    await first_of(work, stop)
    if not work.done():
        work.cancel()
        raise ToldToStop
    return await work
