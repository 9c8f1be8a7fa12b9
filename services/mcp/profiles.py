"""The profiles: which tools a client gets, what it is told at first, and its prompts. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from services.mcp.operator import OBSERVER, OPERATOR
from services.mcp.planner import PLANNER
from services.mcp.tool import Tool
from services.mcp.worker import WORKER


class Prompt(Struct, frozen=True, kw_only=True):
    """A prompt with at most one argument, which stands in its text as `{name}`."""

    name: str
    says: str
    text: str
    argument: str = ""
    argument_says: str = ""


class Profile(Struct, frozen=True, kw_only=True):
    """What one kind of client gets; `is_agent` if it holds tasks, and so is one of the project's agents."""

    name: str
    tools: tuple[Tool, ...]
    instructions: str
    prompts: tuple[Prompt, ...] = ()
    is_agent: bool = False


_WORK = Prompt(
    name="work",
    says="Work until nothing is left.",
    text=(
        "You are a worker of a fleet that coordctl coordinates. Call begin once, to know what others know. "
        "Then call claim; it gives you a task with its input and with the results and lessons it builds on, "
        "or tells you to stop. Do that task and nothing else. Report kind progress at milestones, complete "
        "with a result that later tasks can use, or fail with what went wrong; then claim again. If a task "
        "is too big, add_task its parts. If another is better at it, hand_off with all you know. Ask learned "
        "before you try something doubtful. Every answer's next says what to do now; if an alert says STOP, "
        "drop that task at once.\n{focus}"
    ),
    argument="focus",
    argument_says="What to attend to beside that.",
)
_PLAN = Prompt(
    name="plan_goal",
    says="Turn a goal into a plan and see it through.",
    text=(
        "Break this goal into tasks that one agent each can finish and check: {goal}\n"
        "Call begin with the goal as its focus. See what was learned and which personas there are. Call plan "
        "once with the whole graph: each task says what is to be delivered, and after names the tasks whose "
        "results it needs. Then watch with the cursor until nothing is open; audit sets what came back "
        "beside what was asked. Retry or cancel what failed, and add what is missing."
    ),
    argument="goal",
    argument_says="What is to be reached.",
)

PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="worker", tools=WORKER, prompts=(_WORK,), is_agent=True,
            instructions="Call claim for a task, do it, report its end, claim again. Your id, leases and "
            "heartbeats are seen to. Each answer's next says what to do now.",
        ),
        Profile(
            name="planner", tools=PLANNER, prompts=(_PLAN,),
            instructions="Call plan with a graph of tasks, watch how workers do them, check the results.",
        ),
        Profile(
            name="operator", tools=OPERATOR,
            instructions="See how the fleet stands, mend what is stuck, look at any point of its past.",
        ),
        Profile(
            name="observer", tools=OBSERVER,
            instructions="See how the fleet stands and how it came to that. Nothing can be changed.",
        ),
    )
}  # fmt: skip
