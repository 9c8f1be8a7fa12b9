"""Two runs side by side: the same steps on the same line, the first difference, how each ended."""

from collections.abc import Sequence

from domain.agents import SpawnAgent
from domain.messages import Recorded
from domain.tasks.commands import (
    ClaimTask,
    CompleteTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    PlannedTask,
    ReleaseTask,
    ReportProgress,
    Retry,
    RetryTask,
    StartTask,
)
from domain.tasks.events import TaskEnqueued
from projections.runs import Comparison, attempt, compare, plan_parts, run
from tests.projections.stories import Story


def fleet(*agents: str) -> Story:
    story = Story()
    for name in agents:
        story.do(name, SpawnAgent(persona="plot"))
    return story


def by(story: Story, agent: str) -> list[Recorded]:
    return [each for each in story.history if each.actor == agent]


def marks(comparison: Comparison) -> str:
    return "".join(pair.mark for pair in comparison.pairs)


def test_two_agents_that_do_the_same_with_other_tasks_are_the_same() -> None:
    story = fleet("a1", "a2")
    story.do("op", *(EnqueueTask(id=f"t{n}", title="x") for n in (1, 2)))
    for agent, task, seconds in (("a1", "t1", 3), ("a2", "t2", 5)):
        story.do(agent, ClaimTask(task=task))
        story.tick(seconds)
        story.do(agent, CompleteTask(task=task, fence=1))
    left, right = (run(agent, by(story, agent), {agent: "the agent"}) for agent in ("a1", "a2"))
    compared = compare(left, right)
    assert (marks(compared), compared.first) == ("===", None)
    assert [step.label for step in left.steps] == ["the agent spawned", "task 1 claimed", "task 1 completed"]
    assert [step.offset_s for step in right.steps] == [0, 3, 8]
    assert [step.took_s for step in right.steps] == [None, None, 5]
    assert (left.duration_s, right.duration_s) == (3, 8)
    assert left.tasks == right.tasks == {"completed": 1}


def test_what_one_does_more_stands_alone_and_what_differs_is_marked() -> None:
    story = fleet("a1", "a2")
    story.do("op", *(EnqueueTask(id=f"t{n}", title="x") for n in (1, 2)))
    story.do("a1", ClaimTask(task="t1"), StartTask(task="t1", fence=1))
    story.do("a1", *(ReportProgress(task="t1", fence=1, percent=n) for n in (10, 20, 30)))
    story.do("a1", CompleteTask(task="t1", fence=1))
    story.do("a2", ClaimTask(task="t2"), StartTask(task="t2", fence=1))
    story.do("a2", ReportProgress(task="t2", fence=1), FailTask(task="t2", fence=1, error="no ink"))
    compared = compare(*(run(agent, by(story, agent), {agent: "the agent"}) for agent in ("a1", "a2")))
    assert marks(compared) == "====!<<"
    assert compared.first == 4
    pair = compared.pairs[4]
    assert pair.left is not None
    assert pair.right is not None
    assert (pair.left.label, pair.right.label) == ("task 1 progressed", "task 1 failed")
    assert (compared.left.tasks, compared.right.tasks) == ({"completed": 1}, {"failed": 1})
    assert marks(compare(compared.right, compared.left)) == "====!>>"


def test_attempts_are_counted_over_the_whole_life_of_a_task() -> None:
    story = fleet("a1")
    story.do("op", EnqueueTask(id="t1", title="x", retry=Retry(attempts=2, backoff_s=1.0)))
    story.do("a1", ClaimTask(task="t1"), ReleaseTask(task="t1", fence=1), ClaimTask(task="t1"))
    story.do("a1", FailTask(task="t1", fence=2, error="no ink"))
    story.tick(5)
    story.do("a1", ClaimTask(task="t1"), FailTask(task="t1", fence=3, error="no paper"))
    story.do("op", RetryTask(task="t1"))
    story.do("a1", ClaimTask(task="t1"), CompleteTask(task="t1", fence=4))

    def names(number: int) -> list[str]:
        return [each.event.name.removeprefix("task.") for each in attempt(story.history, number)]

    assert names(1) == ["claimed", "released", "claimed", "failed"]
    assert names(2) == ["claimed", "failed", "died"]
    assert names(3) == ["claimed", "completed"]
    assert names(4) == names(0) == []


def plan(story: Story) -> list[Recorded]:
    """The events of a new plan: two tasks side by side, then one that needs both."""
    tasks = (
        PlannedTask(local="plot", title="Plot"),
        PlannedTask(local="map", title="Map"),
        PlannedTask(local="book", title="Book", depends_on=("plot", "map")),
    )
    began = len(story.history)
    story.do("op", EnqueuePlan(tasks=tasks))
    return story.history[began:]


def work(story: Story, agent: str, task: str) -> None:
    story.do(agent, ClaimTask(task=task))
    story.tick(1)
    story.do(agent, CompleteTask(task=task, fence=1))


def plan_run(story: Story, enqueued: Sequence[Recorded], name: str) -> Comparison:
    parts = plan_parts(each.event for each in enqueued if isinstance(each.event, TaskEnqueued))
    events = [each for each in story.history if each.event.entity in parts]
    each = run(name, events, parts, by_part=True)
    return compare(each, each)


def test_plans_are_compared_task_by_task_whoever_came_first() -> None:
    story = fleet("a1", "a2")
    runs = []
    for order in ((0, 1, 2), (1, 0, 2)):
        enqueued = plan(story)
        tasks = [each.event.entity for each in enqueued]
        for place in order:
            work(story, "a1", tasks[place])
        runs.append(plan_run(story, enqueued, "plan").left)
    compared = compare(*runs)
    assert {*marks(compared)} == {"="}
    assert [step.label for step in runs[0].steps][:3] == ["plot enqueued", "plot claimed", "plot completed"]
    assert runs[1].tasks == {"completed": 3}


def test_the_first_difference_of_plans_is_the_first_in_time() -> None:
    story = fleet("a1", "a2")
    first, second = plan(story), plan(story)
    for each in first:
        work(story, "a1", each.event.entity)
    _, maps, _ = (each.event.entity for each in second)
    story.do("a2", ClaimTask(task=maps), FailTask(task=maps, fence=1, error="no ink", retryable=False))
    work(story, "a2", second[0].event.entity)
    compared = compare(plan_run(story, first, "one").left, plan_run(story, second, "two").left)
    assert compared.first is not None
    pair = compared.pairs[compared.first]
    assert pair.right is not None
    assert pair.right.label == "map failed"
    assert compared.right.tasks == {"completed": 1, "dead": 1, "blocked": 1}


def test_a_run_of_nothing_can_be_compared() -> None:
    empty = run("nothing", [], {})
    assert (empty.duration_s, empty.tasks) == (0.0, {})
    story = fleet("a1")
    assert marks(compare(empty, run("a1", story.history, {}))) == ">"
