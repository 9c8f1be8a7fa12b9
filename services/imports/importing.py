"""Carrying an import out: lines from a file, tasks to the writer, and how many of them were new.

Reads the file it is given and asks the writer.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from domain.tasks.commands import ImportedTask
from services.bus.caller import Answer, Caller
from services.imports.beads import MAX_LINE_BYTES, chunks


def lines_of(file: BinaryIO, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """The lines of a file one by one; of one that is too long, only the beginning is kept.

    `on_bytes` is told how many bytes have been read since it was told last.
    """
    while line := file.readline(MAX_LINE_BYTES + 1):
        on_bytes(len(line))
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE_BYTES)):
            on_bytes(len(rest))
        yield line


async def send(
    caller: Caller, tasks: Sequence[ImportedTask], head: int, on_tasks: Callable[[int], None]
) -> int:
    """Import the tasks; returns how many were new. `head` is the position at which the log ended before.

    `on_tasks` is told how many tasks have been sent since it was told last. Raises what `Caller.ask` does.
    """
    new = 0
    for chunk in chunks(tasks, head):
        answer = await caller.ask("task.import", {"tasks": chunk.tasks}, command_id=chunk.command_id)
        new += _new(answer)
        on_tasks(len(chunk.tasks))
    return new


def _new(answer: Answer) -> int:
    """How many tasks this answer tells of."""
    return 0 if answer.result.get("unchanged") else len(answer.result.get("tasks", [answer.result]))
