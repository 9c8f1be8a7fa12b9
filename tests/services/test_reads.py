"""Reads over a real Postgres: what was projected is found, as it was asked for, or refused in words."""

from collections.abc import Iterator
from itertools import product
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from domain.agents import SpawnAgent, TerminateAgent
from domain.errors import NotFound
from domain.handoffs import Baggage, HandoffInitiated, InitiateHandoff
from domain.learning import CloseEstimate, RecordEstimate, RecordFailure, RecordRetrospective
from domain.messages import SYSTEM_PROJECT
from domain.personas import DefinePersona
from domain.settings import SetSetting
from domain.tasks.commands import ClaimTask, CompleteTask, EnqueueTask
from projections.catalog import PROJECTIONS, VIEWS
from projections.queue import QUEUE
from projections.views import MAX_WAIT_S
from services.errors import BadInput, Unavailable, UnknownView
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.reading.reads import NotYetVisible, Reads, Tally, parse, shape, view_names, view_params
from services.reading.replay import replay
from tests.projections.stories import Story
from tests.services.running import CODEC
from tests.services.stories import stored

WAIT_S = 30.0


@pytest.fixture
def reads(database_url: str) -> Iterator[Reads]:
    with Reads(database_url) as reads:
        yield reads


def novel() -> Story:
    """A project with something of everything in it."""
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("a2", SpawnAgent(persona="map"))
    story.do("a3", SpawnAgent(persona="lore"), TerminateAgent(reason="done"))
    story.do("op", DefinePersona(persona="poet", definition="Writes verse."))
    story.do("op", EnqueueTask(id="t1", title="Outline"), EnqueueTask(id="t2", title="Map", priority=5))
    story.do("op", EnqueueTask(id="t3", title="Act one", depends_on=("t1", "t2"), parent="t1"))
    story.do("a2", ClaimTask(task="t2"), CompleteTask(task="t2", fence=1))
    story.tick(1)
    offer = InitiateHandoff(task="t1", fence=1, to_agent="a2", context=Baggage(goal="an end", data=[1, 2.5]))
    story.do("a1", ClaimTask(task="t1"), offer)
    story.do("op", SetSetting(key="max_agents", value=7))
    story.do("a1", RecordFailure(feature="maps", approach="tiles", why="slow"))
    (estimate,) = story.do("a1", RecordEstimate(feature="maps", sessions=2, complexity=3))
    story.do("a1", CloseEstimate(estimate=estimate.entity, sessions=3))
    story.do("a1", RecordRetrospective(feature="maps", surprises="rivers", spike_accuracy=70))
    return story


def system() -> Story:
    story = Story(SYSTEM_PROJECT)
    story.do("root", SetSetting(key="stale_after_s", value=9.5, scope="system"))
    story.do("root", DefinePersona(persona="janitor", definition="Is of no other project."))
    return story


def project(log: EventLog, url: str, *stories: Story) -> int:
    """Store these histories, bring the read models up to date, and return the position they have reached."""
    for story in stories:
        log.append(stored(story.history))
    Projector(log, CODEC, url, PROJECTIONS).catch_up()
    return log.head()


@pytest.fixture
def story(log: EventLog, database_url: str) -> Story:
    story = novel()
    project(log, database_url, system(), story)
    return story


def names(rows: list[dict[str, Any]], field: str) -> list[Any]:
    return [row[field] for row in rows]


def test_a_list_is_filtered_ordered_and_cut(reads: Reads, story: Story) -> None:
    assert names(reads.read("novel", "queue"), "task") == ["t2", "t1", "t3"]
    assert names(reads.read("novel", "queue", {"status": "blocked,claimed"}), "task") == ["t1", "t3"]
    assert names(reads.read("novel", "queue", {"agent": "a1"}), "task") == ["t1"]
    assert names(reads.read("novel", "queue", {"parent": "t1"}), "task") == ["t3"]
    assert names(reads.read("novel", "queue", {"text": "OUT"}), "task") == ["t1"]
    assert names(reads.read("novel", "queue", {"limit": "1", "offset": 1}), "task") == ["t1"]
    assert names(reads.read("novel", "agents", {"status": ["active"]}), "agent") == ["a1", "a2"]
    assert names(reads.read("novel", "agents", {"persona": "lore"}), "reason") == ["done"]
    assert reads.read("elsewhere", "queue") == []


def test_a_percent_sign_in_a_search_is_just_a_character(reads: Reads, story: Story) -> None:
    assert reads.read("novel", "queue", {"text": "%"}) == []


def test_letters_of_every_alphabet_are_found_large_or_small_in_tables_as_in_replays(
    log: EventLog, database_url: str, reads: Reads
) -> None:
    story = Story("novel")
    story.do("op", EnqueueTask(id="t1", title="Äpfel für İstanbul und Σίσυφος, Maß"))
    project(log, database_url, story)
    rows = [*story.rows(QUEUE).values()]
    for text in ("äpfel", "ÄPF", "istanbul", "ΣΊΣΥΦ", "maẞ", "apfel", "mass"):
        found = reads.read("novel", "queue", {"text": text})
        assert found == shape("queue", rows, {"text": text}), text
        assert bool(found) == (text not in ("apfel", "mass")), text


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"], ids=ascii)
def test_text_that_no_row_could_hold_is_refused(reads: Reads, story: Story, text: str) -> None:
    with pytest.raises(BadInput):
        reads.read("novel", "queue", {"text": text})
    assert len(reads.read("novel", "queue")) == 3


def test_a_task_says_which_dependencies_it_still_waits_for(reads: Reads, story: Story) -> None:
    waiting = {row["task"]: row["blocked_by"] for row in reads.read("novel", "queue")}
    assert waiting == {"t1": [], "t2": [], "t3": ["t1"]}


def test_one_task_comes_with_all_that_belongs_to_it(reads: Reads, story: Story) -> None:
    (task,) = reads.read("novel", "task", {"task": "t1"})
    assert (task["status"], task["holder"], task["dependents"]) == ("claimed", "a1", ["t3"])
    (handoff,) = task["handoffs"]
    assert (handoff["to_agent"], handoff["context"]) == ("a2", {"goal": "an end", "data": [1, 2.5]})
    assert names(task["activity"], "event") == ["handoff.initiated", "task.claimed", "task.enqueued"]


def test_a_task_that_does_not_exist_is_not_found(reads: Reads, story: Story) -> None:
    with pytest.raises(NotFound, match="no task t9"):
        reads.read("novel", "task", {"task": "t9"})


def test_settings_are_what_holds_and_say_where_it_comes_from(reads: Reads, story: Story) -> None:
    found = {row["key"]: (row["value"], row["source"]) for row in reads.read("novel", "settings")}
    assert found["max_agents"] == (7, "project")
    assert found["stale_after_s"] == (9.5, "system")
    assert found["default_lease_s"] == (300.0, "built-in")
    (one,) = reads.read("novel", "settings", {"entity": "max_agents"})
    assert (one["set_by"], one["default"]) == ("op", 19)
    assert names(reads.read("novel", "setting_history"), "new") == [7]


def test_a_user_asked_for_has_its_own_settings_and_the_defaults(
    reads: Reads, log: EventLog, database_url: str
) -> None:
    story = Story()
    story.do("ann", SetSetting(scope="user", key="theme", value="dark"))
    story.do("bob", SetSetting(scope="user", key="theme", value="light"))
    project(log, database_url, story)
    found = reads.read("novel", "settings", {"user": "ann"})
    assert {row["key"]: row["value"] for row in found} == {
        "theme": "dark",
        "language": "en",
        "onboarding_complete": False,
        "onboarding_step": 0,
    }
    everyone = reads.read("novel", "settings", {"scope": "user"})
    assert names(everyone, "user") == ["ann", "bob"]


def test_personas_are_the_built_in_ones_and_the_projects_own(reads: Reads, story: Story) -> None:
    found = {row["persona"]: row["built_in"] for row in reads.read("novel", "personas")}
    assert (len(found), found["poet"], found["plot"]) == (20, False, True)
    assert names(reads.read("novel", "personas", {"text": "verse"}), "persona") == ["poet"]


def test_what_was_learned_can_be_read(reads: Reads, story: Story) -> None:
    assert names(reads.read("novel", "failures", {"text": "tile"}), "why") == ["slow"]
    assert names(reads.read("novel", "estimates"), "ratio") == [1.5]
    assert names(reads.read("novel", "retros"), "spike_accuracy") == [70]


def test_the_factor_is_the_mean_of_the_ninety_days_before(
    reads: Reads, log: EventLog, database_url: str
) -> None:
    story = Story()
    for took, wait_days in ((9, 1), (1, 89), (3, 0)):
        (estimate,) = story.do("a1", RecordEstimate(feature="x", sessions=2, complexity=1))
        story.do("a1", CloseEstimate(estimate=estimate.entity, sessions=took))
        story.tick(wait_days * 86_400)
    project(log, database_url, story)
    at = story.now.isoformat()
    assert reads.read("novel", "factor", {"at": at}) == [{"factor": 1.0, "estimates": 2}]
    assert reads.read("other", "factor", {"at": at}) == [{"factor": None, "estimates": 0}]


def test_activity_is_found_by_entity_agent_and_actor_newest_first(reads: Reads, story: Story) -> None:
    of_task = reads.read("novel", "activity", {"entity": "t2"})
    assert names(of_task, "event") == ["task.completed", "task.claimed", "task.enqueued"]
    assert "handoff.initiated" in names(reads.read("novel", "activity", {"agent": "a2"}), "event")
    assert "handoff.initiated" not in names(reads.read("novel", "activity", {"actor": "a2"}), "event")
    assert len(reads.read("novel", "activity", {"limit": 3})) == 3


def test_counts_by_status(reads: Reads, story: Story) -> None:
    (counts,) = reads.read("novel", "counts")
    assert counts == {
        "agents": {"active": 2, "terminated": 1},
        "tasks": {"completed": 1, "claimed": 1, "blocked": 1},
        "handoffs": {"initiated": 1},
        "handoffs_open": 1,
    }
    assert Tally("novel", "tasks", "blocked", 1) in reads.tallies()
    assert reads.projects() == [SYSTEM_PROJECT, "novel"]


def test_a_replay_is_listed_as_the_live_tables_are(reads: Reads, story: Story, log: EventLog) -> None:
    replayed = replay(log, CODEC, PROJECTIONS, None, log.head())
    for view, params in product(VIEWS, ({}, {"limit": 2, "offset": 1}, {"entity": "t1"}, {"agent": "a1"})):
        asked = {name: params[name] for name in params if name in view_params(view).__struct_fields__}
        projects = ("novel", SYSTEM_PROJECT) if view == "settings" else ("novel",)
        rows = [row for row in replayed[view].values() if row.project in projects]
        assert shape(view, rows, asked) == reads.read("novel", view, asked), (view, asked)


@pytest.mark.parametrize("view", view_names())
def test_what_a_view_does_not_take_is_refused_by_name(view: str) -> None:
    with pytest.raises(BadInput, match="colour"):
        parse(view, {"task": "t1", "colour": "red"} if view == "task" else {"colour": "red"})


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 10_001}, {"offset": -1}, {"status": "quued"}, {"text": ""}, {"limit": "many"}],
    ids=str,
)
def test_values_that_cannot_be_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        parse("queue", params)


def test_a_view_that_does_not_exist_is_refused_and_the_others_named(reads: Reads) -> None:
    with pytest.raises(UnknownView, match="activity, agents"):
        reads.read("novel", "weather")
    with pytest.raises(UnknownView):
        shape("task", [], {})


def test_before_there_are_read_models_the_answer_says_so(reads: Reads) -> None:
    with pytest.raises(Unavailable, match="projector"):
        reads.read("novel", "queue")


def test_a_database_that_is_not_there_is_unavailable() -> None:
    with Reads("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.1) as reads, pytest.raises(Unavailable):
        reads.read("novel", "queue")


def test_a_read_waits_until_the_position_it_asks_for_is_projected(
    reads: Reads, log: EventLog, database_url: str
) -> None:
    project(log, database_url)
    stop = Flag()
    projector = Thread(target=Projector(log, CODEC, database_url, PROJECTIONS).run, args=(stop,))
    projector.start()
    try:
        for number in range(5):
            story = Story(f"novel-{number}")
            story.do("op", EnqueueTask(id="t1", title="x"))
            (position,) = log.append(stored(story.history))
            asked = {"min_position": position, "wait_s": WAIT_S}
            assert names(reads.read(story.project, "queue", asked), "task") == ["t1"]
    finally:
        stop.set()
        projector.join()


def test_a_position_that_is_not_projected_in_time_is_said_to_be_so_far_away(
    reads: Reads, log: EventLog, database_url: str
) -> None:
    head = project(log, database_url, novel())
    story = Story("late")
    story.do("op", EnqueueTask(id="t1", title="x"))
    (position,) = log.append(stored(story.history))
    with pytest.raises(NotYetVisible) as refused:
        reads.wait_for(position, 0.05)
    assert refused.value.facts == {"position": head, "behind": position - head, "wanted": position}
    assert refused.value.retryable
    reads.wait_for(head, 0)


def test_nobody_waits_for_a_position_that_the_log_does_not_have(
    reads: Reads, log: EventLog, database_url: str
) -> None:
    head = project(log, database_url, novel())
    for position in (head + 1, 2**62, 10**400):
        with pytest.raises(NotYetVisible):
            reads.wait_for(position, MAX_WAIT_S)


def test_an_offer_in_the_log_is_an_offer_in_the_reads(reads: Reads, story: Story) -> None:
    offers = [each.event for each in story.history if isinstance(each.event, HandoffInitiated)]
    (row,) = reads.read("novel", "handoffs", {"status": "initiated", "agent": "a2"})
    assert [row["handoff"]] == [offer.handoff for offer in offers]
