"""The way from a command to the past: the log, the read models at any position, a project's history."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.context import Context
from cli.points import resolved
from cli.session import new_codec, opened_log

if TYPE_CHECKING:
    from services.log.event_log import EventLog
    from services.log.history import History
    from services.reading.travel import Travel


@dataclass(frozen=True)
class Past:
    """What time travel reads from."""

    log: "EventLog"
    travel: "Travel"

    def position(self, project: str, point: str | None) -> int:
        """The position of the last event that a POINT includes; without one, of the last there is."""
        if point is None:
            return self.log.head()
        return resolved(self.log, project, point)

    def history(self, project: str, point: str | None = None) -> "History":
        """What a project's events tell up to a POINT; without one, to the last there is."""
        from services.log.history import History

        return History(self.log, new_codec(), self.travel, project, self.position(project, point))


@contextmanager
def past(context: Context) -> "Iterator[Past]":
    """The past, as long as it is needed."""
    from services.projector.tables import connected
    from services.reading.travel import Travel

    with opened_log(context) as log, connected(context.doors().database_url) as connection:
        yield Past(log, Travel(log, new_codec(), connection))
