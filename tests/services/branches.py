"""Two projects with a common past, worked in, forked and restored; for tests of what is read of them.

`main` does some work, `side` is forked from it in the middle, both go on, both go back, and both go on again.
"""

from services.log.event_log import EventLog
from tests.services.test_writer_turns import Desk, play


async def works(desk: Desk, project: str, agent: str, tasks: int) -> None:
    """A new agent does so many new tasks, all but the last to the end."""
    await desk.ask("op", "agent.spawn", project, agent=agent, persona="plot")
    for number in range(tasks):
        task = f"{agent}-{number}"
        await desk.ask("op", "task.enqueue", project, id=task, title=task, input={"part": number, "a": [1.5]})
        lease = (await desk.ask(agent, "task.claim", project, task=task)).result["tasks"][0]
        if number < tasks - 1:
            done = {"task": task, "fence": lease["fence"], "result": {"words": number}}
            await desk.ask(agent, "task.complete", project, **done)


async def branch(desk: Desk) -> None:
    await works(desk, "main", "a1", 6)
    await desk.ask("op", "setting.set", key="colour", value="red")
    await desk.fork(14, "side")
    await works(desk, "main", "a2", 4)
    await works(desk, "side", "b1", 5)
    await desk.ask("op", "setting.set", "side", key="colour", value="blue")
    await desk.restore(20)
    await desk.restore(20, "side")
    await works(desk, "side", "b2", 3)
    await works(desk, "main", "a3", 3)


def branched(log: EventLog) -> None:
    """Fill the log."""
    play(log, branch)
