"""The console's view of what a fleet knows, then and now."""

from collections.abc import Iterator
from typing import Any

import pytest

from domain.agents import SpawnAgent
from domain.knowledge.complexity import Measured, SnapshotComplexity
from domain.knowledge.decisions import RecordDecision
from domain.knowledge.documentation import CacheDocumentation
from domain.knowledge.patterns import DefinePattern
from domain.knowledge.spikes import ConcludeSpike, InitiateSpike
from domain.learning import CloseEstimate, RecordEstimate
from domain.memory import StoreMemory
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueuePlan, EnqueueTask, PlannedTask
from projections.catalog import PROJECTIONS
from services.bus.link import Link
from services.console.detail_depth import Depth
from services.console.pages import Pages
from services.console.sight import Desk
from services.embedded import EmbeddedPostgres
from services.gateway.asking import Asker
from services.projector.projector import Projector
from services.reading.reads import Reads
from tests.conftest import temporary_database
from tests.projections.stories import Story
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.stories import stored
from tests.services.test_console_detail import PROJECT, Look


class Fleet:
    """What a fleet came to know; `before` it knew nothing but what estimates came to."""

    def __init__(self) -> None:
        self.story = Story(PROJECT)
        self.do("op", SpawnAgent(agent="a1", persona="plot"))
        made = self.do("a1", RecordEstimate(feature="cover", sessions=2, complexity=2))
        self.do("a1", CloseEstimate(estimate=made.entity, sessions=3))
        self.before = len(self.story.history)
        self._learn()
        self.plan = self._grow()

    def do(self, actor: str, command: Any) -> Any:
        self.story.tick(1)
        return self.story.do(actor, command)[0]

    def _learn(self) -> None:
        self.do("a1", RecordDecision(title="Narrator", choice="The <gardener>"))
        self.do("a1", StoreMemory(text="Berta leads", tags=("crew",)))
        self.do("a1", StoreMemory(text="I doubt it", visibility="private"))
        spike = self.do("a1", InitiateSpike(question="By turns?"))
        self.do("a1", ConcludeSpike(spike=spike.spike, result="Readers lost track", viable=False))
        self.do("a1", DefinePattern(pattern="short", description="Ten pages at most"))
        for score in (10.0, 16.0):
            self.do("a1", SnapshotComplexity(files=(Measured(file="plot.py", score=score),)))
        self.do("a1", CacheDocumentation(library="click", content="Groups nest", days=1e-9))

    def _grow(self) -> str:
        plan = self.do("op", EnqueuePlan(tasks=(PlannedTask(local="one", id="t-one", title="One"),))).plan
        self.do("op", EnqueueTask(id="t-more", title="More", parent="t-one"))
        for name in ("t-one", "t-more"):
            claimed = self.do("a1", ClaimTask(task=name))
            self.do("a1", CompleteTask(task=name, fence=claimed.fence))
        return str(plan)


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture(scope="module")
def depth(postgres_server: EmbeddedPostgres, fleet: Fleet) -> Iterator[Depth]:
    with temporary_database(postgres_server) as url, opened_log(url) as log, Reads(url) as reads:
        log.append(stored(fleet.story.history))
        Projector(log, CODEC, url, PROJECTIONS, batch_events=5, checkpoint_events=10).catch_up()
        yield Depth(Desk(url, log, reads), Asker(Link("nats://127.0.0.1:1", "nobody")))


def known(depth: Depth, sequence: int | None) -> tuple[dict[str, Any], str]:
    """The lists that have rows, by name, and the page."""
    look = Look(depth, Pages(), sequence)
    lists = look.part("learned")["known"]
    return {each.of.name: each.rows for each in lists if each.rows}, look.html


def test_what_a_fleet_knows_is_shown_as_of_then(depth: Depth, fleet: Fleet) -> None:
    shown, page = known(depth, len(fleet.story.history))
    assert [row["choice"] for row in shown["decisions"]] == ["The <gardener>"]
    assert [row["text"] for row in shown["memories"]] == ["Berta leads"]
    assert [row["viable"] for row in shown["spikes"]] == [False]
    assert [row["pattern"] for row in shown["patterns"]] == ["short"]
    assert [row["file"] for row in shown["complexity"]] == ["plot.py"]
    assert [row["library"] for row in shown["stale"]] == ["click"]
    assert [(row["basis"], row["of"], row["factor"]) for row in shown["factors"]] == [
        ("all", "", 1.5), ("complexity", "1-3", 1.5)
    ]  # fmt: skip
    assert [(row["plan"], row["completed"]) for row in shown["plans"]] == [(fleet.plan, 2)]
    assert "The &lt;gardener&gt;" in page
    assert "Plans that grew" in page


def test_what_was_not_known_yet_is_not_shown(depth: Depth, fleet: Fleet) -> None:
    shown, page = known(depth, fleet.before)
    assert [*shown] == ["factors"]
    assert "Decisions that hold" not in page


def test_now_it_is_read_from_the_tables(depth: Depth) -> None:
    assert {"decisions", "memories", "stale", "plans"} <= {*known(depth, None)[0]}
