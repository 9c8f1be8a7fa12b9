"""Progress bars, for people who wait."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

Advance = Callable[[int], None]


def bars(*, shown: bool) -> "Progress":
    """Bars on a terminal; nothing when piped, where they would be noise."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not (shown and console.is_terminal))


def bar(progress: "Progress", what: str, total: int | None = None) -> Advance:
    """A bar that is told how far it came since it was told last."""
    task = progress.add_task(what, total=total)
    return lambda count: progress.advance(task, count)
