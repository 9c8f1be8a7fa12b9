"""The fleet: worker processes with the clients in them, steered and listened to. Ends them when left."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from services.errors import Unavailable
from services.prove.script import Script
from services.prove.worker import Charge, Progress

WORKERS = 2
STALL_S = 60.0
"""For so long nothing may be completed before the run is given up."""

STOP_TIMEOUT_S = 60.0


class Stalled(Exception):
    """Nothing has been completed for too long."""


class Fleet:
    """Use as an async context manager."""

    def __init__(self, nats_url: str, folder: Path, script: Script, environ: Mapping[str, str]) -> None:
        names = script.project_names()
        shares = [names[place::WORKERS] for place in range(WORKERS)]
        self._charges = [
            Charge(nats_url=nats_url, folder=str(folder), script=script, projects=share)
            for share in shares
            if share
        ]
        self._environ = environ
        self._processes: list[Process] = []
        self._listening: list[asyncio.Task[None]] = []
        self._progress = [Progress(completed=0, enqueued=0)] * len(self._charges)
        self._news = asyncio.Event()

    @property
    def completed(self) -> int:
        return sum(each.completed for each in self._progress)

    async def __aenter__(self) -> Self:
        for place, charge in enumerate(self._charges):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "services.prove.worker",
                stdin=PIPE, stdout=PIPE, env=dict(self._environ), start_new_session=True,
            )  # fmt: skip
            self._processes.append(process)
            self._order(process, msgspec.json.encode(charge))
            self._listening.append(asyncio.create_task(self._listen(place, process)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
        for listening in self._listening:
            listening.cancel()

    def allow(self, tasks: int) -> None:
        """Let so many tasks be enqueued, of all projects together."""
        for process in self._processes:
            self._order(process, b"allow %d" % tasks)

    async def reach(self, completions: int) -> None:
        """Wait until so many tasks are completed. Raises Stalled or Unavailable."""
        while (before := self.completed) < completions:
            await self._more_than(before)

    async def stop(self) -> None:
        """Let every client end in order. Raises Unavailable."""
        for process in self._processes:
            self._order(process, b"stop")
        await asyncio.wait(self._listening, timeout=STOP_TIMEOUT_S)
        self._look_after()
        if not all(each.over for each in self._progress):
            raise Unavailable(what="The fleet", why=f"it has not ended within {STOP_TIMEOUT_S:.0f} s")

    async def _more_than(self, before: int) -> None:
        try:
            async with asyncio.timeout(STALL_S):
                while self.completed == before:
                    self._look_after()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise Stalled(f"nothing was completed for {STALL_S:.0f} s, after {before} tasks") from error

    def _look_after(self) -> None:
        for process, progress in zip(self._processes, self._progress, strict=True):
            if process.returncode is not None and not progress.over:
                raise Unavailable(what="A process of the fleet", why=f"it ended with {process.returncode}")

    async def _listen(self, place: int, process: Process) -> None:
        assert process.stdout is not None, "the output is a pipe"
        while line := await process.stdout.readline():
            self._progress[place] = msgspec.json.decode(line, type=Progress)
            self._news.set()
        await process.wait()
        self._news.set()

    @staticmethod
    def _order(process: Process, line: bytes) -> None:
        assert process.stdin is not None, "the input is a pipe"
        if process.returncode is None:
            process.stdin.write(line + b"\n")
