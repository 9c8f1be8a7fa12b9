"""Spikes: the question of a trial, and what it showed."""

from datetime import datetime

from msgspec.structs import replace

from domain.knowledge.spikes import SpikeConcluded, SpikeInitiated
from domain.messages import Recorded
from projections.folds import known
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class SpikeRow(Row, frozen=True, kw_only=True):
    """A spike; `viable` is None until it is concluded, which may be in another session."""

    spike: str
    question: str
    approach: str
    task: str | None
    initiated_by: str
    initiated_at: datetime
    viable: bool | None = None
    result: str = ""
    lessons: str = ""
    minutes: float | None = None
    concluded_by: str | None = None
    concluded_at: datetime | None = None
    session: str | None = None
    concluded_session: str | None = None


class SpikeParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    task: str | None = None
    agent: str | None = None
    session: str | None = None
    viable: bool | None = None
    text: Search | None = None


def initiated(_: SpikeRow | None, event: SpikeInitiated, recorded: Recorded) -> SpikeRow:
    return SpikeRow(
        project=recorded.project,
        spike=event.spike,
        question=event.question,
        approach=event.approach,
        task=event.task,
        initiated_by=recorded.actor,
        initiated_at=recorded.at,
        session=event.session,
    )


@known
def concluded(row: SpikeRow, event: SpikeConcluded, recorded: Recorded) -> SpikeRow:
    return replace(
        row,
        viable=event.viable,
        result=event.result,
        lessons=event.lessons,
        minutes=event.minutes,
        concluded_by=recorded.actor,
        concluded_at=recorded.at,
        concluded_session=event.session,
    )


SPIKES = Projection(
    name="spikes",
    version=2,
    row=SpikeRow,
    key=("spike",),
    folds=(on(SpikeInitiated, initiated), on(SpikeConcluded, concluded)),
)

SPIKES_VIEW = View(
    projection=SPIKES,
    params=SpikeParams,
    order=("-initiated_at", "spike"),
    compares={
        "entity": ("spike",),
        "agent": ("initiated_by", "concluded_by"),
        "session": ("session", "concluded_session"),
    },
    searches=("question", "approach", "result", "lessons"),
)
