"""Which read models a projector looks after: groups of them, shared out among the projectors that live.

A group is a lot (`services.sharing`). The shares only keep two projectors from doing one thing twice, and
from undoing each other's caches: what makes several safe are the locks of the tracking rows.

Touches the database by the shares alone.
"""

import logging
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import Any, Self

from projections.framework import Projection
from services.sharing.shares import Session, Shares

LOOK_S = 0.5
"""How often it is looked who else is there: so long nobody may fold what a dead projector has left."""

_HEAVY = (("queue",), ("agents", "activity"))
"""Of 23 us that an event costs in folding and writing, the queue takes 8.5, these two 8 and all others 7;
reading and decoding it are 5.5 more in each process (docs/scaling.md).
"""

Group = tuple[Projection[Any], ...]

_log = logging.getLogger(__name__)


class Groups:
    """The groups of these projections that are ours. A context manager: at the end others have them."""

    def __init__(self, url: str, projections: Sequence[Projection[Any]]) -> None:
        """Only projectors of the same versions share: others have other tables to fill."""
        self._groups = groups_of(projections)
        names = ",".join(sorted(f"{projection.name}@{projection.version}" for projection in projections))
        self._shares = Shares(url, f"coord.projector:{names}", len(self._groups), "coordctl projector")
        self._held: dict[int, Session] = {}
        self._look_at = 0.0

    @property
    def projections(self) -> Group:
        """Those that are ours as far as we know."""
        return tuple(projection for lot in sorted(self._held) for projection in self._groups[lot])

    def are_settled(self) -> bool:
        """Whether what is ours is our share; the database is asked now and then. Raises LogUnavailable."""
        if any(session.lost for session in self._held.values()):
            return False
        if monotonic() < self._look_at:
            return True
        self._look_at = monotonic() + LOOK_S
        allotment = self._shares.look()
        wanted = allotment.share - len(self._held)
        return wanted == 0 or (wanted > 0 and not allotment.free)

    def settle(self) -> None:
        """Take our share, and give up what is more; nothing of ours may be under way.

        Raises LogUnavailable.
        """
        before = self._held
        self._held = {lot: session for lot, session in before.items() if not session.lost}
        allotment = self._shares.look()
        while len(self._held) > allotment.share:
            _, session = self._held.popitem()
            session.close()
        for lot in allotment.free:
            if len(self._held) < allotment.share and (taken := self._shares.take(lot)):
                self._held[lot] = taken
        if self._held.keys() != before.keys():
            _log.info("looks after %s", ", ".join(each.name for each in self.projections) or "nothing")
        self._look_at = monotonic() + LOOK_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._held.values():
            session.close()
        self._held = {}
        self._shares.close()


def groups_of(projections: Sequence[Projection[Any]]) -> list[Group]:
    """The projections in groups of about the same cost; at least one group."""
    heavy = [tuple(each for each in projections if each.name in names) for names in _HEAVY]
    rest = tuple(each for each in projections if not any(each in group for group in heavy))
    return [group for group in (*heavy, rest) if group] or [()]
