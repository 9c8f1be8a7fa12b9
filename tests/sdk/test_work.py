"""The Python client on a whole system: work, its ends, and what goes on when parts of the system go away."""

import asyncio
import runpy
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import coord
import pytest
from coord.events import Events

from tests.sdk.services import Services

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "python"
PATIENCE_S = 40.0


@asynccontextmanager
async def session(system: Services, project: str, agent: str, **options: Any) -> AsyncIterator[coord.Client]:
    async with (
        asyncio.timeout(PATIENCE_S),
        coord.connect(system.url, project=project, agent=agent, **options) as me,
    ):
        yield me


async def task_of(me: coord.Client, name: str, position: int) -> dict[str, Any]:
    """The task as the read model has it, including the event at a position."""
    (row,) = (await me.view("task", task=name, min_position=position, wait_s=10)).rows
    return row


async def until(me: coord.Client, event: str, entity: str) -> coord.Event:
    """The first such event."""
    async for each in me.events():
        if (each.event, each.entity) == (event, entity):
            return each
    raise AssertionError


def test_tasks_are_worked_on_one_after_another(system: Services) -> None:
    async def run() -> None:
        async with session(system, "novel", "a1", persona="writing") as me:
            await me.command("persona.define", persona="poet", definition="Writes verse.")
            plan = await me.plan([
                {"local": "a", "title": "First", "input": {"words": 3}},
                {"local": "b", "title": "Second", "depends_on": ["a"]},
                {"local": "c", "title": "Third", "depends_on": ["b"]},
            ])  # fmt: skip
            seen = []
            async for task in me.work(idle_s=0.5):
                async with task:
                    seen.append(task.title)
                    await task.progress("half way", 50)
                    task.done({"got": task.input})
            assert seen == ["First", "Second", "Third"]
            done = await until(me, "task.completed", plan.tasks["c"])
            row = await task_of(me, plan.tasks["a"], done.position)
            assert (row["status"], row["result"]) == ("completed", {"got": {"words": 3}})

    asyncio.run(run())


def test_a_plain_loop_completes_with_the_next_turn_and_fails_what_throws(system: Services) -> None:
    async def run() -> None:
        async with session(system, "plain", "op") as me:
            for name in ("t1", "t2"):
                await me.enqueue(name, id=name)

            async def work() -> None:
                async with session(system, "plain", "a1", persona="writing") as worker:
                    async for task in worker.work():
                        task.done(task.id)
                        if task.id == "t2":
                            raise ValueError("no ink")

            with pytest.raises(ValueError, match="no ink"):
                await work()
            await until(me, "task.completed", "t1")
            failed = await until(me, "task.failed", "t2")
            assert "no ink" in failed.data["error"]
            await until(me, "agent.terminated", "a1")

    asyncio.run(run())


def test_an_exception_fails_the_task_with_its_traceback_and_the_loop_goes_on(system: Services) -> None:
    async def run() -> None:
        async with session(system, "broken", "a1", persona="writing") as me:
            await me.enqueue("Throws", id="t1", priority=9)
            await me.enqueue("Throws for good", id="t2", priority=5)
            await me.enqueue("Works", id="t3")
            async for task in me.work(idle_s=0.5, fatal=(KeyError,)):
                async with task:
                    if task.id == "t1":
                        raise ValueError("x" * 20_000 + " the end")
                    if task.id == "t2":
                        raise KeyError("no ink")
            first = await until(me, "task.failed", "t1")
            assert first.data["error"].endswith("the end\n")
            assert len(first.data["error"]) <= 8_000
            assert first.data["retry_at"]
            second = await until(me, "task.failed", "t2")
            assert "Traceback" in second.data["error"]
            assert "KeyError: 'no ink'" in second.data["error"]
            assert (await until(me, "task.died", "t2")).data["reason"] == "not retryable"
            await until(me, "task.completed", "t3")

    asyncio.run(run())


def test_a_handoff_arrives_with_its_context_and_an_expired_one_returns_to_the_queue(system: Services) -> None:
    async def run() -> None:
        async with (
            session(system, "relay", "a1", persona="writing") as me,
            session(system, "relay", "a2", persona="planner") as other,
        ):
            await me.enqueue("Long", id="t1", persona="writing", lease_s=2)
            async for task in me.work(idle_s=0.5):
                async with task:
                    await task.hand_off(to="a2", done=["half"], next_step="the rest", goal="all")
            async for task in other.work(idle_s=5, wait_s=0.5):
                async with task:
                    assert (task.context.done, task.context.next_step) == (["half"], "the rest")
                    assert task.brief.from_agent == "a1"
                other.stop()
            await until(me, "task.completed", "t1")

            await me.enqueue("Nobody wants it", id="t2", persona="writing")
            async for task in me.work(idle_s=5):
                async with task:
                    await task.hand_off(to="a2", expires_s=1)
                me.stop()
            released = await until(me, "task.released", "t2")
            assert "expired" in released.data["reason"]

    asyncio.run(run())


def test_a_lost_lease_cancels_the_block_and_the_loop_goes_on(system: Services) -> None:
    async def run() -> None:
        async with (
            session(system, "lost", "op") as op,
            session(system, "lost", "a1", persona="writing") as me,
        ):
            await me.enqueue("Taken away", id="t1", priority=1, lease_s=1)
            await me.enqueue("Kept", id="t2")
            ends = []
            async for task in me.work(idle_s=1):
                async with task:
                    if task.id == "t1":
                        await op.command("task.cancel", task="t1")
                        try:
                            await asyncio.Event().wait()
                        finally:
                            ends.append((task.id, task.lost))
                    ends.append((task.id, task.lost))
            assert ends == [("t1", True), ("t2", False)]

    asyncio.run(run())


def test_a_refused_write_tells_of_a_lost_lease_and_a_plain_loop_ends_with_it(system: Services) -> None:
    async def run() -> None:
        async with session(system, "stale", "op") as op:
            await op.enqueue("Taken away", id="t1", lease_s=300)
            await op.enqueue("Taken away, too", id="t2", lease_s=1)
            async with session(system, "stale", "a1", persona="writing") as me:
                async for task in me.work():
                    async with task:
                        await op.command("task.cancel", task="t1")
                        with pytest.raises(coord.LeaseLost):
                            await task.progress("too late")
                    break

            async def plain() -> None:
                async with session(system, "stale", "a2", persona="writing") as me:
                    async for _ in me.work():
                        await op.command("task.cancel", task="t2")
                        await asyncio.Event().wait()

            with pytest.raises(coord.LeaseLost):
                await plain()

    asyncio.run(run())


def test_several_tasks_at_once(system: Services) -> None:
    async def run() -> None:
        async with session(system, "many", "a1", persona="writing") as me:
            await me.plan([{"local": f"t{n}", "title": str(n)} for n in range(5)])
            most, under_way, done = 0, 0, 0
            together = asyncio.Event()

            async def handle(task: coord.Task) -> None:
                nonlocal most, under_way, done
                async with task:
                    under_way += 1
                    most = max(most, under_way)
                    if under_way == 2:
                        together.set()
                    await together.wait()
                    under_way -= 1
                    done += 1

            async with asyncio.TaskGroup() as group:
                async for task in me.work(at_once=2, idle_s=0.5):
                    group.create_task(handle(task))
            assert (most, done) == (2, 5)

    asyncio.run(run())


def test_what_an_agent_held_before_is_taken_up_again(system: Services) -> None:
    async def run() -> None:
        async with session(system, "again", "a1", persona="writing", stay=True) as me:
            await me.enqueue("Held", id="t1")
            await me.command("task.claim")  # by one who then is killed
        async with session(system, "again", "a1", persona="writing") as me:
            async for task in me.work(idle_s=0.5):
                async with task:
                    assert task.id == "t1"
            await until(me, "task.completed", "t1")

    asyncio.run(run())


def test_work_goes_on_over_restarts_of_the_writer_and_of_the_bus(system: Services) -> None:
    async def run() -> None:
        async with session(system, "storm", "a1", persona="writing") as me:
            await me.plan([{"local": f"t{n}", "title": str(n)} for n in range(4)])
            done = []
            async for task in me.work(idle_s=3):
                async with task:
                    if task.title == "1":
                        await asyncio.to_thread(system.stop, "writer")
                        back = asyncio.create_task(asyncio.to_thread(system.start, "writer"))
                        await task.progress("while nobody decides")
                        await back
                    if task.title == "2":
                        await asyncio.to_thread(system.nats.stop)
                        back = asyncio.create_task(asyncio.to_thread(system.nats.start))
                        await task.progress("while nobody listens")
                        await back
                done.append(task.title)
            assert done == ["0", "1", "2", "3"]
            named = [event async for event in first(me.events(), "task.completed", 4)]
            assert len({event.entity for event in named}) == 4

    asyncio.run(run())


async def first(events: AsyncIterator[coord.Event], name: str, count: int) -> AsyncIterator[coord.Event]:
    async for event in events:
        if event.event == name:
            yield event
            count -= 1
        if not count:
            return


@asynccontextmanager
async def listening(me: coord.Client, after: int) -> AsyncIterator[Events]:
    """An iteration that hears what happens, and so has no reason to read a page any more."""
    events = Events(me.bus, me.project, lambda params: rows_of(me, params), after)
    while events._last is None or events._behind:
        following = asyncio.ensure_future(anext(events))
        while events._behind and not following.done():  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
        if not following.done():
            await me.enqueue("to be heard")
        await following
    try:
        yield events
    finally:
        await events.aclose()


async def rows_of(me: coord.Client, params: dict[str, Any]) -> list[dict[str, Any]]:
    return (await me.view("events", **params)).rows


async def next_of(events: Events, count: int) -> list[str]:
    return [(await anext(events)).entity for _ in range(count)]


@pytest.fixture
def never_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is believed for long, so that what was missed is noticed by itself or not at all."""
    monkeypatch.setattr("coord.events.RECHECK_S", 1_000.0)


@pytest.mark.usefixtures("never_unasked")
def test_events_are_told_from_any_position_on_and_a_loop_that_is_left_listens_no_more(
    system: Services,
) -> None:
    async def run() -> None:
        async with session(system, "told", "a1", persona="writing") as me:
            start = (await me.enqueue("t0", id="t0")).position
            for n in (1, 2):
                await me.enqueue(f"t{n}", id=f"t{n}")
            told = []
            async for event in me.events(after=start):
                told.append(event.entity)
                if len(told) == 2:
                    await me.enqueue("live", id="t3")
                if len(told) == 3:
                    break
            assert told == ["t1", "t2", "t3"]
            while me._events:  # noqa: ASYNC110  # the event loop ends it when it comes to that
                await asyncio.sleep(0.01)
            assert not [subject for subject in me.bus._subjects.values() if subject.endswith("evt.>")]

    asyncio.run(run())


@pytest.mark.usefixtures("never_unasked")
def test_events_that_were_not_heard_are_read(system: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """One was dropped on the way; the connection was away; there were more than a slow reader buffers."""
    monkeypatch.setattr("coord.events.MAX_BUFFERED_EVENTS", 3)
    monkeypatch.setattr("coord.bus.FIRST_BACKOFF_S", 1.0)

    async def run() -> None:
        async with session(system, "gap", "op") as op, session(system, "gap", "a1") as me:
            start = (await op.enqueue("t0", id="t0")).position
            async with listening(me, start) as events:
                await me.bus.unsubscribe(events._take)
                await op.enqueue("t1", id="t1")
                await until(op, "task.enqueued", "t1")
                await me.bus.subscribe(events._subject, events._take)
                await me.view("counts")  # from here on it is heard again
                await op.enqueue("t2", id="t2")
                assert await next_of(events, 2) == ["t1", "t2"]
            start = (await op.enqueue("t3", id="t3")).position
            async with listening(op, start) as told, listening(me, start) as events:
                assert me.bus._nats is not None
                me.bus._nats._transport.close()
                for n in (4, 5):
                    await op.enqueue(f"t{n}", id=f"t{n}")
                while "t5" not in await next_of(told, 1):
                    continue
                assert not me.bus.connected
                assert await next_of(events, 2) == ["t4", "t5"]
            async with listening(me, (await op.enqueue("t6", id="t6")).position) as events:
                for n in range(7, 17):
                    await op.enqueue(f"t{n}", id=f"t{n}")
                await until(op, "task.enqueued", "t16")
                await me.view("counts")  # what came before this answer was heard
                assert await next_of(events, 10) == [f"t{n}" for n in range(7, 17)]

    asyncio.run(run())


def test_refusals_are_types_with_codes_and_facts(system: Services) -> None:
    async def run() -> None:
        async with session(system, "no", "op") as me:
            with pytest.raises(coord.UnknownTask) as unknown:
                await me.command("task.cancel", task="nothing")
            assert (unknown.value.code, unknown.value.facts) == ("unknown_task", {"task": "nothing"})
            with pytest.raises(coord.Rejected) as other:
                await me.command("project.fork", origin="nowhere", sequence=1)
            assert other.value.code == "unknown_project"
            with pytest.raises(coord.BadInput):
                await me.view("queue", colour="red")
            for verb in ("task.cancel\r\nPUB x 0", "task.*", ""):
                with pytest.raises(coord.Rejected):
                    await me.command(verb, task="t1")
            with pytest.raises(coord.BadInput):
                await me.command("task.cancel", task="t1", command_id="a\r\nb:c")
            with pytest.raises(coord.NotConfigured, match="cannot name the project"):
                coord.connect(system.url, project="no >", agent="op")
            with pytest.raises(coord.NotConfigured, match="persona"):
                me.work()

    asyncio.run(run())


def test_without_async(system: Services) -> None:
    with coord.sync.connect(system.url, project="sync", agent="a1", persona="writing") as me:
        for n in (1, 2, 3):
            made = me.enqueue(f"t{n}", id=f"t{n}", priority=-n)
        assert made.task == "t3"
        for task in me.work(idle_s=0.5):
            with task:
                task.progress("begun", 10)
                if task.id == "t2":
                    raise ValueError("no ink")
                task.done({"by": me.agent})
        told = {}
        for event in me.events():
            if event.event in ("task.completed", "task.failed"):
                told[event.entity] = event.event
            if len(told) == 3:
                break
        assert told == {"t1": "task.completed", "t2": "task.failed", "t3": "task.completed"}


def test_an_enrolled_worker_works_and_what_it_may_not_is_told_at_once(system: Services) -> None:
    seed = system.enroll("a7", "worker", "keys")
    address = system.nats.address

    async def run() -> None:
        async with session(system, "keys", "op") as op:
            await op.enqueue("t1", id="t1")
        async with coord.connect(
            address, project="keys", agent="a7", persona="writing", credentials=seed
        ) as me:
            with pytest.raises(coord.NotPermitted):
                await me.command("task.cancel", task="t1")
            async for task in me.work(idle_s=0.5):
                async with task:
                    task.done("by key")
            await until(me, "task.completed", "t1")
        stranger = coord.connect(address, project="keys", agent="a8", persona="writing", credentials=seed)
        with pytest.raises(coord.NotPermitted):
            await stranger.__aenter__()

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


@pytest.mark.parametrize("name", ["worker", "agent_loop"])
def test_the_examples_run(system: Services, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = f"example-{name}"
    variables = {"COORD_NATS_URL": system.url, "COORD_PROJECT": project, "COORD_AGENT": "ex"}
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--idle-s", "0.5"])
    with coord.sync.connect(agent="op") as op:
        op.enqueue("Write a haiku about rain", id="t1", persona="writing")
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        done = next(event for event in op.events() if event.event == "task.completed")
        assert done.data["result"]
