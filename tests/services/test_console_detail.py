"""The console's depth on a real log: graphs, details, comparisons, confirmations, then and now."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.agents import SpawnAgent
from domain.errors import NotFound, UnknownSequence
from domain.handoffs import AcceptHandoff, Baggage, InitiateHandoff
from domain.learning import CloseEstimate, RecordEstimate, RecordFailure
from domain.settings import SetSetting
from domain.tasks.commands import (
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    PlannedTask,
    StartTask,
)
from projections.catalog import PROJECTIONS
from services.access.roles import Role
from services.bus.link import Link
from services.console.actions_sent import may
from services.console.detail_depth import DATA, PARTS, Depth
from services.console.pages import Pages
from services.console.sight import Desk
from services.console.words import span
from services.embedded import EmbeddedPostgres
from services.errors import BadInput
from services.gateway.asking import Asker
from services.gateway.denials import Forbidden, NoSuchPage
from services.gateway.entry import Holder
from services.gateway.tokens import Token
from services.projector.projector import Projector
from services.reading.reads import Reads
from tests.conftest import temporary_database
from tests.projections.stories import Story
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.stories import stored

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = "novel"


def somebody(role: Role = "operator", projects: tuple[str, ...] = ("*",)) -> Holder:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    token = Token(id="0" * 12, digest="", role=role, projects=projects, actor="ann", created_at=made)
    return Holder("ann", token)


class Played:
    """A story that is in the log and the tables, with the sequences of some of its events."""

    def __init__(self) -> None:
        self.story = Story(PROJECT)
        self.at: dict[str, int] = {}

    def do(self, actor: str, command: Any, mark: str = "") -> Any:
        self.story.tick(1)
        event = self.story.do(actor, command)[0]
        self.at[mark] = len(self.story.history)
        return event

    def play(self) -> None:
        for name in ("a1", "a2"):
            self.do("op", SpawnAgent(agent=name, persona="plot"))
        tasks = (
            PlannedTask(local="outline", id="t-outline", title="Outline"),
            PlannedTask(local="draft", id="t-draft", title="Draft", depends_on=("outline",)),
            PlannedTask(local="cover", id="t-cover", title="Cover"),
            PlannedTask(local="print", id="t-print", title="Print", depends_on=("draft", "cover")),
        )
        plan = self.do("op", EnqueuePlan(tasks=tasks), "planned")
        self.plan = plan.plan
        self.do("op", EnqueueTask(id="t-blurb", title="Blurb <b>", depends_on=("t-draft",), parent="t-print"))
        outline = self.do("a1", ClaimTask(task="t-outline"), "claimed")
        self.do("a1", CompleteTask(task="t-outline", fence=outline.fence), "outlined")
        draft = self.do("a1", ClaimTask(task="t-draft"))
        self.do("a1", StartTask(task="t-draft", fence=draft.fence))
        baggage = Baggage(goal="an <end>", done=("two acts",))
        offer = InitiateHandoff(
            task="t-draft", fence=draft.fence, to_agent="a2", reason="tired", context=baggage
        )
        self.handoff = self.do("a1", offer, "offered").handoff
        self.do("a2", AcceptHandoff(handoff=self.handoff), "taken")
        cover = self.do("a1", ClaimTask(task="t-cover"))
        self.do("a1", FailTask(task="t-cover", fence=cover.fence, error="no ink", retryable=False), "failed")
        self.do(
            "a1",
            RecordFailure(feature="cover", approach="by hand", why="no ink", lesson="order", task="t-cover"),
        )
        for feature, sessions, took in (("t-draft", 4.0, 6.0), ("cover", 2.0, 2.0)):
            made = self.do("a1", RecordEstimate(feature=feature, sessions=sessions, complexity=2))
            self.do("a1", CloseEstimate(estimate=made.entity, sessions=took))
        self.do("op", SetSetting(key="max_agents", value=7), "last")


@pytest.fixture(scope="module")
def played() -> Played:
    played = Played()
    played.play()
    return played


@pytest.fixture(scope="module")
def depth(postgres_server: EmbeddedPostgres, played: Played) -> Iterator[Depth]:
    with temporary_database(postgres_server) as url, opened_log(url) as log, Reads(url) as reads:
        log.append(stored(played.story.history))
        Projector(log, CODEC, url, PROJECTIONS, batch_events=5, checkpoint_events=10).catch_up()
        yield Depth(Desk(url, log, reads), Asker(Link("nats://127.0.0.1:1", "nobody")))


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages()


class Look:
    """What the parts and data say at a moment, to an operator."""

    def __init__(self, depth: Depth, pages: Pages, as_of: int | None = None) -> None:
        self.depth = depth
        self.pages = pages
        self.as_of = as_of

    def part(self, name: str, **params: str) -> Mapping[str, Any]:
        template, told = self.depth.part(name, somebody(), PROJECT, self.as_of, params)
        moment = {"live": self.as_of is None, "sequence": self.as_of or 0}
        page = {"moment": moment, "now": NOW, "view": name, "may": []}
        self.html = self.pages.render(template, {**told, **page})
        return told

    def data(self, name: str, **params: str) -> Any:
        return json.loads(self.depth.data(name, somebody(), PROJECT, self.as_of, params))


@pytest.fixture
def now(depth: Depth, pages: Pages) -> Look:
    return Look(depth, pages)


def at(look: Look, sequence: int) -> Look:
    return Look(look.depth, look.pages, sequence)


def test_a_plan_is_drawn_with_what_is_critical_then_and_now(now: Look, played: Played) -> None:
    graph = now.data("graph", plan=played.plan)
    nodes = {node["task"]: node for node in graph["nodes"]}
    assert {task: node["layer"] for task, node in nodes.items()} == {
        "t-outline": 0, "t-cover": 0, "t-draft": 1, "t-print": 2,
    }  # fmt: skip
    assert (nodes["t-outline"]["status"], nodes["t-draft"]["holder"]) == ("completed", "a2")
    assert graph["critical"] == ["t-draft", "t-print"]
    assert graph["weight"] == 5  # the draft is estimated, the rest counts as one

    then = at(now, played.at["planned"]).data("graph", plan=played.plan)
    assert then["critical"] == ["t-outline", "t-draft", "t-print"]
    assert {node["status"] for node in then["nodes"]} == {"queued", "blocked"}


def test_a_graph_is_narrowed_to_a_task_a_parent_or_what_is_open(now: Look, played: Played) -> None:
    def drawn(look: Look, **params: str) -> set[str]:
        return {node["task"] for node in look.data("graph", **params)["nodes"]}

    assert drawn(now, task="t-outline", distance="1") == {"t-outline", "t-draft"}
    assert drawn(now, task="t-outline") == {"t-outline", "t-draft", "t-print", "t-blurb"}
    assert drawn(at(now, played.at["planned"]), task="t-draft") == {
        "t-outline",
        "t-draft",
        "t-print",
        "t-cover",
    }
    assert drawn(now, parent="t-print") == {"t-print", "t-blurb", "t-draft", "t-cover"}
    assert drawn(now) == {"t-draft", "t-print", "t-blurb"}
    assert drawn(now, task="t-nothing") == set()
    now.part("graph")
    assert f'data-choose="plan" data-name="{played.plan}"' in now.html
    assert "Blurb &lt;b&gt;" in now.html


def test_handoffs_are_a_graph(now: Look, played: Played) -> None:
    (flow,) = now.data("handoffs")["flows"]
    assert (flow["sender"], flow["receiver"], flow["open"]) == ("a1", "a2", 1)
    assert at(now, played.at["outlined"]).data("handoffs")["flows"] == []
    now.part("handoff-graph")
    assert f'data-detail="handoff:{played.handoff}"' in now.html


def test_a_task_tells_its_story_and_why(now: Look, played: Played) -> None:
    told = now.part("detail", of="task:t-draft")
    assert told["said"] == ["a2 holds it and has not begun, attempt 1 of 3."]
    lines = {line.event: line for line in told["story"].lines}
    assert list(lines) == [
        "task.enqueued", "task.queued", "task.claimed", "task.started", "handoff.initiated",
        "handoff.accepted",
    ]  # fmt: skip
    assert lines["task.queued"].why == "that was the last it waited for"
    assert lines["task.queued"].cause == played.at["outlined"] - 1
    assert json.loads(lines["handoff.initiated"].raw)["data"]["reason"] == "tired"
    facts = {fact.name: fact.value for fact in told["facts"]}
    assert (facts["came after"], facts["waited for by"]) == (["t-outline"], ["t-blurb", "t-print"])
    assert [action.verb for action in told["actions"]] == ["task.reprioritize", "task.requeue", "task.cancel"]
    assert 'data-do="task.requeue" data-about="task:t-draft"' in now.html
    lease = facts["lease until"]
    assert (
        f'(<span data-until="{lease.isoformat()}" data-over="passed">{span((lease - NOW).total_seconds())}<'
        in now.html
    )
    assert f'href="?view=queue&amp;mode=graph&amp;plan={facts["plan"][0]}" data-go' in now.html
    assert 'href="?view=queue&amp;mode=graph&amp;task=t-draft" data-go' in now.html


def test_a_task_of_the_past_is_as_it_was_and_nothing_can_be_done_to_it(now: Look, played: Played) -> None:
    then = at(now, played.at["planned"])
    told = then.part("detail", of="task:t-draft")
    assert told["said"] == ["It waits for t-outline."]
    assert [line.event for line in told["story"].lines] == ["task.enqueued"]
    assert (told["actions"], told["story"].earlier) == ([], None)
    assert "nothing can be done to the past" in then.html
    before = at(now, 1)
    assert before.part("detail", of="task:t-draft")["missing"]
    assert "There is no task t-draft at this moment." in before.html


def test_agents_handoffs_and_events_have_details(now: Look, played: Played) -> None:
    agent = now.part("detail", of="agent:a1")
    facts = {fact.name: fact.value for fact in agent["facts"]}
    assert (facts["completed"], facts["failed"], facts["success rate"]) == (1, 1, "50%")
    assert facts["decisions"] > 5
    assert [action.verb for action in agent["actions"]] == ["agent.terminate"]

    handoff = now.part("detail", of=f"handoff:{played.handoff}")
    assert handoff["said"] == ["a2 took t-draft over from a1 and is at it."]
    assert handoff["long"]["goal"] == "an <end>"
    assert "an &lt;end&gt;" in now.html

    event = now.part("detail", of=f"event:{played.at['claimed']}")["explained"]
    assert [link.how for link in event.chain] == ["it could be claimed"]
    assert event.origin.startswith("op asked for it (command")
    changed = {(effect.kind, effect.key): effect.fields for effect in event.changes}
    assert ("task", "t-outline") in changed
    assert ("status", "queued", "claimed") in [
        (field.field, field.old, field.new) for field in changed["task", "t-outline"]
    ]


def test_a_long_story_goes_on_before(depth: Depth, pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.console.detail_story.STORY_EVENTS", 2)
    look = Look(depth, pages)
    first = look.part("detail", of="task:t-outline")["story"]
    assert [line.event for line in first.lines] == ["task.claimed", "task.completed"]
    assert f'data-before="{first.earlier}"' in look.html
    rest = look.part("detail", of="task:t-outline", before=str(first.earlier))["story"]
    assert ([line.event for line in rest.lines], rest.earlier) == (["task.enqueued"], None)


def test_estimates_have_a_factor(now: Look, played: Played) -> None:
    then = at(now, played.at["last"])
    data = then.data("estimates")
    assert [(each["estimated"], each["actual"]) for each in data["points"]] == [(2, 2), (4, 6)]
    assert (data["factor"], data["estimates"]) == (1.25, 2)
    assert now.data("estimates")["factor"] is None  # all that was long ago
    told = then.part("learned")
    assert "1.25" in then.html
    assert [row["lesson"] for row in told["failures"]] == ["order"]
    assert at(now, played.at["planned"]).part("learned")["failures"] == []


def test_two_moments_are_compared_in_words(now: Look, played: Played) -> None:
    a, b = played.at["planned"], played.at["taken"]
    told = now.part("compare", a=str(a), b=str(b))
    rows = {row.name: row for section in told["sections"] for row in section.rows}
    assert rows["t-outline"].said == "t-outline went from queued to completed"
    assert rows["t-blurb"].said == "t-blurb is new: “Blurb <b>” (blocked)"
    holder = [(field.old, field.new) for field in rows["t-draft"].fields if field.field == "holder"]
    assert holder == [("-", "a2")]
    assert rows["t-outline"].events[-1][0] == played.at["outlined"] - 1
    assert told["events"] == b - a
    assert "Nothing differs." in now.part("compare", a=str(a), b=str(a))["said"]
    for wrong in ({"a": "1"}, {"a": "1", "b": "x"}):
        with pytest.raises(BadInput):
            now.part("compare", **wrong)
    with pytest.raises(UnknownSequence):
        now.part("compare", a="1", b="9999")


def test_confirmations_say_what_will_happen(now: Look, played: Played) -> None:
    def asked(verb: str, about: str) -> Any:
        return now.part("confirm", verb=verb, about=about)["asked"]

    cancel = asked("task.cancel", "task:t-draft")
    assert "a2 loses its lease at once" in cancel.told[1]
    assert "t-blurb, t-print will go on waiting for it" in cancel.told[-1]
    release = asked("task.requeue", "task:t-draft")
    assert release.body == {"task": "t-draft"}
    assert asked("task.retry", "task:t-cover").told == [
        "It is revived with all its attempts; it failed once."
    ]
    assert "t-draft, which it holds" in asked("agent.terminate", "agent:a2").told[1]
    setting = asked("setting.set", "project:max_agents")
    assert (setting.fields[0].value, setting.fields[0].whole, setting.body["scope"]) == ("7", True, "project")
    assert "It must be a whole number, 1 or more, 100000 at most." in setting.told
    assert asked("setting.unset", "project:max_agents").body == {"key": "max_agents", "scope": "project"}
    for verb, about in (
        ("task.cancel", "task:t-0"),
        ("project.restore", "moment:999"),
        ("setting.set", "user:x"),
    ):
        with pytest.raises(NotFound):
            asked(verb, about)
    with pytest.raises(BadInput):
        asked("task.claim", "task:t-draft")


def test_going_back_is_asked_for_at_the_end_of_a_command(now: Look, played: Played) -> None:
    first_of_plan = played.at["planned"] - 3
    for look in (now, at(now, first_of_plan)):
        restore = look.part("confirm", verb="project.restore", about=f"moment:{first_of_plan}")["asked"]
        assert restore.body == {"sequence": played.at["planned"]}
        assert f"{played.at['last'] - played.at['planned']} events since then" in restore.told[1]
    fork = now.part("confirm", verb="project.fork", about="moment:3")["asked"]
    assert (fork.project, fork.fields[0].name) == ("", "project")
    assert 'name="project"' in now.html
    with pytest.raises(Forbidden, match="past cannot be changed"):
        at(now, 5).part("confirm", verb="task.cancel", about="task:t-cover")


def test_who_may_do_what(depth: Depth) -> None:
    assert "task.cancel" in depth.may(somebody(), PROJECT, frozen=False)
    assert depth.may(somebody(), PROJECT, frozen=True) == ["project.fork", "project.restore"]
    assert may(somebody(projects=(PROJECT,)), PROJECT, frozen=True) == {"project.restore"}
    assert may(somebody("planner"), PROJECT, frozen=False) == {
        "task.cancel",
        "task.reprioritize",
        "task.retry",
    }
    assert may(somebody("observer"), PROJECT, frozen=False) == frozenset()
    assert may(somebody(projects=("other",)), PROJECT, frozen=False) == frozenset()
    _, told = depth.part("detail", somebody("observer"), PROJECT, None, {"of": "task:t-draft"})
    assert told["actions"] == []
    with pytest.raises(Forbidden):
        depth.part(
            "confirm", somebody("observer"), PROJECT, None, {"verb": "task.cancel", "about": "task:t-draft"}
        )
    with pytest.raises(Forbidden):
        depth.part("graph", somebody(projects=("other",)), PROJECT, None, {})


def test_what_is_not_there_is_said(now: Look) -> None:
    with pytest.raises(NoSuchPage):
        now.part("nonsense")
    with pytest.raises(UnknownSequence):
        at(now, 9_999).data("graph")
    for of in ("", "task", "planet:earth", "task:"):
        with pytest.raises(BadInput):
            now.part("detail", of=of)
    for of in ("task:t-0", "agent:a9", "handoff:h-0", "event:99999", "event:x"):
        assert now.part("detail", of=of)["missing"]
    with pytest.raises(NotFound):
        now.part("confirm", verb="task.cancel", about="task:t-0")


def test_an_empty_project_has_every_part(depth: Depth, pages: Pages) -> None:
    for name in PARTS - {"detail", "confirm"}:
        template, told = depth.part(name, somebody(), "nothing-yet", None, {"a": "0", "b": "0"})
        pages.render(template, {**told, "moment": {"live": True, "sequence": 0}, "view": name, "may": []})
    for name in DATA:
        assert depth.data(name, somebody(), "nothing-yet", None, {})
