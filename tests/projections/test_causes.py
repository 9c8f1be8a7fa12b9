"""Following an event back to what brought it about, in histories that the real domain decided."""

from collections.abc import Sequence

from msgspec.structs import replace

from domain.agents import SpawnAgent, TerminateAgent
from domain.handoffs import AcceptHandoff, HandoffEvent, HandoffInitiated, InitiateHandoff, RejectHandoff
from domain.learning import RecordFailure
from domain.messages import Event, Recorded
from domain.tasks.commands import (
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    PlannedTask,
    ReportProgress,
    Retry,
    RetryTask,
    StartTask,
)
from domain.tasks.events import TaskEvent
from projections.causes import cause_of, causes, origin
from tests.projections.stories import Story


class Told:
    """The past, from a list of all events."""

    def __init__(self, history: Sequence[Recorded]) -> None:
        self._history = history

    def about(self, entity: str, before: Recorded) -> list[Recorded]:
        earlier = self._history[: before.sequence - 1]
        return [each for each in earlier if entity in _things(each.event)]

    def beside(self, recorded: Recorded) -> list[Recorded]:
        command = (recorded.actor, recorded.command_id)
        same = [each for each in self._history if (each.actor, each.command_id) == command]
        return [each for each in same if each is not recorded]

    def last_by(self, actor: str, before: Recorded) -> Recorded | None:
        found = [each for each in self._history[: before.sequence - 1] if each.actor == actor]
        return found[-1] if found else None

    def last_of_command(self, command_id: str, before: Recorded) -> Recorded | None:
        found = [each for each in self._history[: before.sequence - 1] if each.command_id == command_id]
        return found[-1] if found else None


def _things(event: Event) -> set[str]:
    return {event.entity, event.task} if isinstance(event, HandoffEvent | TaskEvent) else {event.entity}


def back(story: Story, name: str) -> list[str]:
    """The names of what led to the last event of a name, nearest first."""
    last = [each for each in story.history if each.event.name == name][-1]
    return [cause.recorded.event.name for cause in causes(last, Told(story.history))]


def fleet() -> Story:
    story = Story()
    story.do("a1", SpawnAgent(persona="plot"))
    story.do("a2", SpawnAgent(persona="plot"))
    return story


def test_a_completion_leads_back_over_its_dependency_to_who_asked() -> None:
    story = fleet()
    story.do(
        "op",
        EnqueuePlan(
            tasks=(
                PlannedTask(local="one", id="t1", title="One"),
                PlannedTask(local="two", id="t2", title="Two", depends_on=("one",)),
            )
        ),
    )
    story.do("a1", ClaimTask(task="t1"), CompleteTask(task="t1", fence=1))
    story.do("a2", ClaimTask(task="t2"), StartTask(task="t2", fence=1), CompleteTask(task="t2", fence=1))
    past, last = Told(story.history), story.history[-1]
    chain = causes(last, past)
    assert [(each.recorded.event.name, each.recorded.event.entity) for each in chain] == [
        ("task.started", "t2"),
        ("task.claimed", "t2"),
        ("task.queued", "t2"),
        ("task.completed", "t1"),
        ("task.claimed", "t1"),
        ("task.enqueued", "t1"),
    ]
    assert chain[3].why == "that was the last it waited for"
    told = origin(chain[-1].recorded, past)
    assert told == "op asked for it (command novel-3, which brought about 1 more)"


def test_a_death_leads_back_over_each_failure() -> None:
    story = fleet()
    story.do("op", EnqueueTask(id="t1", title="x", retry=Retry(attempts=2, backoff_s=5.0)))
    story.do("a1", ClaimTask(task="t1"), FailTask(task="t1", fence=1, error="no ink"))
    story.tick(10)
    story.do("a1", ClaimTask(task="t1"), FailTask(task="t1", fence=2, error="no paper"))
    assert back(story, "task.died") == [
        "task.failed", "task.claimed", "task.queued", "task.failed", "task.claimed", "task.enqueued",
    ]  # fmt: skip
    story.do("op", RetryTask(task="t1"), RecordFailure(feature="x", approach="y", why="z", task="t1"))
    assert back(story, "task.revived")[0] == "task.died"
    assert back(story, "failure.recorded")[0] == "task.died"


def test_a_lease_expires_because_its_agent_fell_silent() -> None:
    story = fleet()
    story.do("op", EnqueueTask(id="t1", title="x", lease_s=200.0))
    story.do("a1", ClaimTask(task="t1"))
    story.tick(130)
    assert back(story, "agent.went_stale")[:2] == ["agent.spawned"]  # that of a2, which never spoke again
    story.tick(130)
    stale, claimed = causes(story.history[-1], Told(story.history))[:2]
    assert (stale.recorded.event.name, stale.recorded.event.entity) == ("agent.went_stale", "a1")
    assert claimed.recorded.event.name == "task.claimed"
    assert claimed.why == "after this nothing was heard of it"


def test_a_short_lease_expires_though_nobody_is_stale() -> None:
    story = fleet()
    story.do("op", EnqueueTask(id="t1", title="x", lease_s=5.0))
    story.do("a1", ClaimTask(task="t1"))
    story.tick(10)
    assert back(story, "task.lease_expired")[0] == "task.claimed"


def test_a_task_is_released_because_its_agent_ended() -> None:
    story = fleet()
    story.do("op", EnqueueTask(id="t1", title="x"))
    story.do("a1", ClaimTask(task="t1"))
    story.do("op", TerminateAgent(agent="a1"))
    past = Told(story.history)
    released = next(each for each in story.history if each.event.name == "task.released")
    (cause,) = causes(released, past)
    assert (cause.recorded.event.name, cause.why) == ("agent.terminated", "its agent ended")
    assert origin(cause.recorded, past).startswith("op asked for it")


def test_time_ends_an_agent_that_stays_silent() -> None:
    story = fleet()
    story.tick(130)
    story.tick(4_000)
    assert back(story, "agent.terminated")[:2] == ["agent.went_stale", "agent.spawned"]


def test_a_handoff_follows_its_own_offer_and_not_another() -> None:
    story = fleet()
    story.do("op", EnqueueTask(id="t1", title="x"))
    story.do("a1", ClaimTask(task="t1"), ReportProgress(task="t1", fence=1, percent=10))
    story.do("a2", RejectHandoff(handoff=offer(story), reason="busy"))
    second = offer(story)
    story.do("a2", AcceptHandoff(handoff=second))
    accepted = story.history[-1]
    cause = cause_of(accepted, Told(story.history))
    assert cause is not None
    assert cause.recorded.event.entity == second
    assert back(story, "handoff.rejected") == [
        "handoff.initiated", "task.started", "task.claimed", "task.enqueued",
    ]  # fmt: skip
    story.do("a2", CompleteTask(task="t1", fence=2))
    assert back(story, "task.completed")[:2] == ["handoff.accepted", "handoff.initiated"]
    assert back(story, "handoff.completed")[0] == "task.completed"


def test_a_part_follows_its_whole() -> None:
    story = fleet()
    story.do("op", EnqueueTask(id="t1", title="All"), EnqueueTask(id="t2", title="Part", parent="t1"))
    assert back(story, "task.enqueued") == ["task.enqueued"]


def test_what_the_command_names_as_its_cause_comes_first() -> None:
    story = fleet()
    story.do("op", EnqueueTask(id="t1", title="x"), EnqueueTask(id="t2", title="y"))
    story.do("a1", ClaimTask(task="t1"))
    named = replace(story.history[-1], causation_id=story.history[-2].command_id)
    cause = cause_of(named, Told([*story.history[:-1], named]))
    assert cause is not None
    assert cause.recorded.event.entity == "t2"
    unknown = replace(story.history[-2], causation_id="mail-7", correlation_id="book-1")
    assert "because of mail-7, as part of book-1" in origin(unknown, Told(story.history))


def test_the_chain_is_bounded() -> None:
    story = fleet()
    for number in range(80):
        parent = f"t{number - 1}" if number else None
        story.do("op", EnqueueTask(id=f"t{number}", title="x", parent=parent))
    assert len(causes(story.history[-1], Told(story.history))) == 50


def offer(story: Story) -> str:
    """The handoff that a1 offers to a2."""
    (event,) = story.do("a1", InitiateHandoff(task="t1", fence=1, to_agent="a2"))
    assert isinstance(event, HandoffInitiated)
    return event.handoff
