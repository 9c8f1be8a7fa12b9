"""An agent around a model, in the shape they all have: think, use a tool, think again, until it is done.

The model here is a fake that needs no network; put a real one, or a LangGraph's `graph.ainvoke`, in its
place. What the agent does between two thoughts is told as progress, so that whoever watches sees it think,
and a task that was taken away stops it at the next await.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import coord

MAX_STEPS = 8

Message = dict[str, Any]
Model = Callable[[list[Message]], Awaitable[Message]]


async def fake_model(messages: list[Message]) -> Message:
    """Asks for one tool, and answers with what it found."""
    found = [message["content"] for message in messages if message["role"] == "tool"]
    if not found:
        return {"role": "assistant", "tool": "look_up", "content": messages[-1]["content"]}
    return {"role": "assistant", "content": f"I looked it up: {found[-1]}"}


async def look_up(question: str) -> str:
    return f"{len(question.split())} words were asked about"


async def think(task: coord.Task, model: Model) -> str:
    """Let the model work on the task with its tools."""
    known = [*task.context.done, f"Next: {task.context.next_step}"] if task.brief.handoff else []
    known += [f"Tried before: {past.approach}: {past.why}. {past.lesson}" for past in task.failures]
    messages: list[Message] = [
        {"role": "system", "content": "\n".join(["You are careful.", *known])},
        {"role": "user", "content": f"{task.title}\n{task.description}"},
    ]
    for step in range(1, MAX_STEPS + 1):
        answer = await model(messages)
        messages.append(answer)
        if "tool" not in answer:
            return str(answer["content"])
        messages.append({"role": "tool", "content": await look_up(answer["content"])})
        await task.progress(f"step {step}: used {answer['tool']}", 100 * step // MAX_STEPS)
    raise coord.NoRetry(f"the model was not done after {MAX_STEPS} steps")


async def main(idle_s: float | None) -> None:
    async with coord.connect(persona="writing", platform="agent-loop") as me:
        async for task in me.work(idle_s=idle_s):
            async with task:
                task.done({"answer": await think(task, fake_model)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--idle-s", type=float, help="end after so many seconds without a task")
    asyncio.run(main(parser.parse_args().idle_s))
