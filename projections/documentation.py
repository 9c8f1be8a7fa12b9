"""Documentation that was looked up, by library, release and topic, and until when it can be relied on."""

from datetime import datetime

from domain.knowledge.documentation import DocumentationCached
from domain.messages import Recorded
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class DocumentationRow(Row, frozen=True, kw_only=True):
    """What was kept last of a library's release and topic; `refreshed` is how often it was kept anew."""

    library: str
    release: str
    topic: str
    content: str
    source: str
    expires_at: datetime
    cached_by: str
    cached_at: datetime
    refreshed: int = 0


class DocumentationParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    library: tuple[str, ...] = ()
    release: str | None = None
    topic: str | None = None
    agent: str | None = None
    text: Search | None = None


def cached(row: DocumentationRow | None, event: DocumentationCached, recorded: Recorded) -> DocumentationRow:
    return DocumentationRow(
        project=recorded.project,
        library=event.library,
        release=event.release,
        topic=event.topic,
        content=event.content,
        source=event.source,
        expires_at=event.expires_at,
        cached_by=recorded.actor,
        cached_at=recorded.at,
        refreshed=row.refreshed + 1 if row else 0,
    )


DOCUMENTATION = Projection(
    name="documentation",
    version=1,
    row=DocumentationRow,
    key=("library", "release", "topic"),
    folds=(
        on(
            DocumentationCached,
            cached,
            key=lambda event, _: (event.library, event.release, event.topic),
        ),
    ),
    queries={
        "stale": "SELECT library, release, topic, source, expires_at, cached_by, cached_at FROM {table}"
        " WHERE project = %(project)s AND expires_at <= coalesce(%(at)s, now())"
        " ORDER BY expires_at, library, release, topic LIMIT %(limit)s OFFSET %(offset)s",
    },
)

DOCUMENTATION_VIEW = View(
    projection=DOCUMENTATION,
    params=DocumentationParams,
    order=("library", "release", "topic"),
    compares={"entity": ("library",), "agent": ("cached_by",)},
    searches=("library", "topic", "content"),
)
