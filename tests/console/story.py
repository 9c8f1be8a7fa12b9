"""What a fleet did before a browser looks: the plan of a novel, half worked off, and all that pages show.

Told through the HTTP API. `rest_s` between two steps lets ages and times in pictures look like those of work.
"""

import time
from collections.abc import Mapping
from typing import Any

from services.demo.novel import PLAN, SLOTS
from tests.services.web import Web

PROJECT = "novel"
ROUNDS = 6
WORKERS = tuple(slot[0] for slot in SLOTS)
GOAL = "The dates of act two hold against the tide tables"
PRIORITIES = {"plot": 5, "writing": 3, "map": 2, "analytics": -2}
DOOMED = "character.tomas"
LESSON = "Keep the coast in one file and link to it"


class Teller:
    """Sends commands as this or that actor."""

    def __init__(self, web: Web, rest_s: float = 0.0) -> None:
        self._web = web
        self._rest_s = rest_s
        self.position = 0

    def do(self, actor: str, verb: str, **fields: Any) -> Any:
        """The result of a command, which must be accepted."""
        time.sleep(self._rest_s)
        reply = self._web.post(verb, fields, headers={"Coord-Actor": actor})
        assert reply.status == 200, f"{verb} {fields}: {reply.text}"
        self.position = reply.json["position"]
        return reply.json["result"]

    def claim(self, agent: str, task: str = "") -> Mapping[str, Any] | None:
        """A task and its fence, ready for the commands about it; None if there is none."""
        taken = self.do(agent, "task.claim", **({"task": task} if task else {})).get("tasks")
        return {"task": taken[0]["task"], "fence": taken[0]["fence"]} if taken else None


def tell(web: Web, rest_s: float = 0.0) -> int:
    """Let it all happen in the project of `web`. The position of the last of it."""
    teller = Teller(web, rest_s)
    plan = [
        {
            "local": piece.id,
            "id": piece.id,
            "title": piece.title,
            "persona": piece.persona,
            "depends_on": piece.after.split(),
            "priority": PRIORITIES.get(piece.persona, 0),
            **({"retry": {"attempts": 1}} if piece.id == DOOMED else {}),
        }
        for piece in PLAN
    ]
    for name, persona in WORKERS:
        teller.do(name, "agent.spawn", persona=persona, platform="desk")
    teller.do("operator", "setting.set", key="stale_after_s", value=7200)
    teller.do("petra", "task.plan", tasks=plan)
    _estimate(teller)
    for _ in range(ROUNDS):
        _work(teller)
    _learn(teller)
    _hand_over(teller)
    for name, _ in WORKERS:
        held = teller.claim(name)
        if held:
            teller.do(name, "task.start", **held)
            teller.do(name, "task.progress", **held, percent=10 + 7 * len(name), note="going well")
    return teller.position


def _work(teller: Teller) -> None:
    """Everybody takes what there is, and then ends it, at its own pace."""
    taken = {name: held for name, _ in WORKERS if (held := teller.claim(name))}
    for number, (name, held) in enumerate(taken.items()):
        teller.do(name, "task.start", **held)
        if number % 2:
            teller.do(
                name, "task.progress", **held, percent=20 + 5 * number, note="the first pages are there"
            )
    for name, held in taken.items():
        if held["task"] == DOOMED:
            teller.do(name, "task.fail", **held, error="Tomas would not say why")
        else:
            teller.do(name, "task.complete", **held)


def _estimate(teller: Teller) -> None:
    for number, piece in enumerate(PLAN[:9]):
        sessions = 1 + number % 4
        made = teller.do(
            "petra", "estimate.record", feature=piece.id, sessions=sessions, complexity=1 + number % 7
        )
        if number % 3 != 2:
            teller.do("petra", "estimate.close", estimate=made["id"], sessions=sessions * (1.1 + number / 10))


def _learn(teller: Teller) -> None:
    teller.do(
        "mona",
        "failure.record",
        feature="map.archipelago",
        approach="Draw the coast from memory",
        why="It moved between two chapters",
        lesson=LESSON,
    )
    teller.do(
        "petra",
        "retro.record",
        feature="act one",
        surprises="The lighthouse wanted to be a person",
        would_change="Outline the sea before the land",
        new_patterns="One owner for each place",
        spike_accuracy=80,
    )


def _hand_over(teller: Teller) -> None:
    """One handoff that is done, one that was declined, one that is taken and one that waits for anybody."""
    for giver, taker, answer in (("ada", "pavel", "done"), ("lars", "kofi", "declined"), ("leo", "mona", "")):
        made = teller.do("petra", "task.enqueue", title=f"Read what {giver} wrote", priority=9)
        held = teller.claim(giver, made["task"])
        assert held is not None
        context = {"goal": GOAL, "done": ["chapters one to three"], "next_step": "chapter four"}
        offer = teller.do(
            giver, "handoff.initiate", **held, to_agent=taker, reason="a second pair of eyes", context=context
        )
        handoff = {"handoff": offer["handoff"]}
        if answer == "declined":
            teller.do(taker, "handoff.reject", **handoff, reason="not this week")
            teller.do(giver, "task.release", **held, reason="nobody to read it")
        else:
            teller.do(taker, "handoff.accept", **handoff)
            if answer == "done":
                teller.do(taker, "handoff.complete", **handoff)
    made = teller.do("petra", "task.enqueue", title="Date the voyage day by day, again", priority=9)
    held = teller.claim("tilda", made["task"])
    assert held is not None
    teller.do(
        "tilda",
        "handoff.initiate",
        **held,
        to_persona="timeline",
        reason="Dates need a calm head",
        context={"goal": GOAL, "ruled_out": ["counting days by hand"]},
    )
