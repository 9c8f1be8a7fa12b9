"""A server that hangs: it keeps its connections and says nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer

import psutil  # type: ignore[import-untyped]  # psutil ships no types

HELD_S = 30


@contextmanager
def held_still(pid: int | None) -> Iterator[None]:
    """Hold a process and its children still for as long as the context lasts, and never for ever."""
    process = psutil.Process(pid)
    process.suspend()  # first, so that it makes no more children
    held = [process, *process.children(recursive=True)]

    def resume() -> None:
        for each in held:
            with suppress(psutil.NoSuchProcess):
                each.resume()

    at_last = Timer(HELD_S, resume)  # a test that fails shall not hang too
    at_last.start()
    for each in held:
        with suppress(psutil.NoSuchProcess):
            each.suspend()
    try:
        yield
    finally:
        at_last.cancel()
        resume()
