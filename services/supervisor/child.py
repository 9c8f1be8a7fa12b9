"""One service as a child process: started, listened to, started again when it dies, and stopped.

The child inherits the read end of a pipe that only this process can write to, so it ends when we do, however
that happens; and the write end of another, on which it says that it is ready.
"""

import asyncio
import os
import random
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from services.waiting import either

READY_FD = "COORD_READY_FD"
LIFE_FD = "COORD_LIFE_FD"
LINE_BYTES = 1024 * 1024
MAX_CRASHES = 5
CRASH_WINDOW_S = 60.0
FIRST_BACKOFF_S = 0.2
MAX_BACKOFF_S = 5.0
KILL_TIMEOUT_S = 5.0

Say = Callable[[str, str], None]
"""Takes the name of a service and a line to show."""


class Child:
    """Keeps one service running. `run` ends after `stop`, or when the service has crashed too often."""

    def __init__(
        self, name: str, command: Sequence[str], environ: Mapping[str, str], life_fd: int, say: Say
    ) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.gave_up = False
        self._command = command
        self._environ = environ
        self._life_fd = life_fd
        self._say = say
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._crashes: deque[float] = deque(maxlen=MAX_CRASHES)

    @property
    def pid(self) -> int | None:
        """None while there is no process."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self, changed: Callable[[], None]) -> None:
        """Keep it running; `changed` is called whenever its process is another, or it is ready."""
        while not self._stopping.is_set():
            code = await self._live(changed)
            if self._stopping.is_set():
                return
            self._say(self.name, f"ended unexpectedly ({_ending(code)})")
            if self._crashed_too_often():
                self.gave_up = True
                self._say(
                    self.name,
                    f"given up after {MAX_CRASHES} crashes in {CRASH_WINDOW_S:.0f} s: see what it said, "
                    "then `coordctl down` and `coordctl up`",
                )
                changed()
                return
            await either(self._stopping, self._backoff_s())

    async def stop(self, timeout_s: float) -> None:
        """Let it finish and end; kill it when it does not in time."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), timeout_s)
        except TimeoutError:
            self._say(self.name, f"killed: it did not end within {timeout_s:.0f} s")
            process.kill()
            await asyncio.wait_for(process.wait(), KILL_TIMEOUT_S)

    async def _live(self, changed: Callable[[], None]) -> int:
        """One process from its start to its end; returns its exit code."""
        reading, writing = os.pipe()
        environ = {**self._environ, READY_FD: str(writing), LIFE_FD: str(self._life_fd)}
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=environ, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, limit=LINE_BYTES,
                pass_fds=(writing, self._life_fd), start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(writing)
        if self._stopping.is_set():
            self._process.terminate()  # told to stop while this process was being started
        changed()
        self._listen(reading, changed)
        try:
            await self._repeat_output(self._process)
            return await self._process.wait()
        finally:
            self.ready.clear()
            changed()

    def _listen(self, reading: int, changed: Callable[[], None]) -> None:
        """Watch the pipe on which the process says that it is ready, until it says so or ends."""
        loop = asyncio.get_running_loop()

        def told() -> None:
            loop.remove_reader(reading)
            if os.read(reading, 64):
                self.ready.set()
                changed()
            os.close(reading)

        loop.add_reader(reading, told)

    async def _repeat_output(self, process: Process) -> None:
        assert process.stdout is not None, "the output is a pipe"
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self._say(self.name, f"(a line of more than {LINE_BYTES} bytes is left out)")
                continue
            if not line:
                return
            self._say(self.name, line.decode(errors="replace").rstrip())

    def _crashed_too_often(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._crashes.append(now)
        return len(self._crashes) == MAX_CRASHES and now - self._crashes[0] < CRASH_WINDOW_S

    def _backoff_s(self) -> float:
        """Longer after each crash of late; never quite the same, so that services do not return in step."""
        now = asyncio.get_running_loop().time()
        recent = sum(now - crash < CRASH_WINDOW_S for crash in self._crashes)
        longest_s: float = min(FIRST_BACKOFF_S * 2 ** (recent - 1), MAX_BACKOFF_S)
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311  # jitter, not a secret


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
