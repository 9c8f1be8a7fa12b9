"""Documentation that was looked up, kept until it is stale, so that it need not be looked up again.

Staleness is the reader's comparison of an expiry with a time: nothing happens when it comes.
"""

from datetime import datetime, timedelta
from typing import Annotated, ClassVar

from msgspec import Meta as Constraint

from domain.messages import Command, Context, Event, Text

Library = Annotated[str, Constraint(min_length=1, max_length=200)]
Label = Annotated[str, Constraint(max_length=100)]
Source = Annotated[str, Constraint(max_length=2_000)]
Days = Annotated[float, Constraint(gt=0, le=3_650)]

KEPT_DAYS = 7.0


class CacheDocumentation(Command, frozen=True, kw_only=True):
    """Keep what documentation says of a library's release, in place of what was kept of it and this topic."""

    name: ClassVar[str] = "docs.cache"

    library: Library
    content: Annotated[Text, Constraint(min_length=1)]
    release: Label = ""
    topic: Label = ""
    source: Source = ""
    days: Days = KEPT_DAYS


class DocumentationCached(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "docs.cached"

    library: str
    release: str
    topic: str
    content: str
    source: str
    expires_at: datetime

    @property
    def entity(self) -> str:
        return self.library


def decide(command: CacheDocumentation, context: Context) -> tuple[Event, ...]:
    cached = DocumentationCached(
        library=command.library,
        release=command.release,
        topic=command.topic,
        content=command.content,
        source=command.source,
        expires_at=context.at + timedelta(days=command.days),
    )
    return (cached,)
