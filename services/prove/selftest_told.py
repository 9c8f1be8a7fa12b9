"""Damages to what clients of a sound history were told, and to what was planned, each of one kind."""

from collections import Counter
from random import Random
from typing import Any

from msgspec.structs import replace

from services.prove.evidence import Ask, Told
from services.prove.selftest_history import AGENTS, History
from services.prove.selftest_log import Damage, changed, pick, put

Place = tuple[str, int]
"""A client and the number of the line in its transcript that tells the answer."""

REFUSAL = {"code": "stale_fence", "message": "planted", "retryable": False}


def told(history: History, random: Random, *verbs: str, attempts: int = 1) -> Place:
    """Some answer to one of these verbs (any if none is named) whose command is in the log.

    It is the last of so many, and the only one to its attempt.
    """
    found = []
    for client, lines in history.said.items():
        heard = Counter((line.id, line.attempt) for line in lines if isinstance(line, Told))
        answered: dict[str, list[int]] = {}
        for n, line in enumerate(lines):
            if isinstance(line, Told) and "sequence" in line.reply and heard[line.id, line.attempt] == 1:
                answered.setdefault(line.id, []).append(n)
        for line in lines:
            if isinstance(line, Ask) and (not verbs or line.verb in verbs):
                places = answered.get(line.id, [])
                found += [(client, places[-1])] if len(places) >= attempts else []
    return random.choice(found)


def ask_of(history: History, place: Place) -> tuple[int, Ask]:
    """The line that asked what is answered here."""
    client, number = place
    answer = history.said[client][number]
    for n, line in enumerate(history.said[client]):
        if isinstance(line, Ask) and (line.id, line.attempt) == (answer.id, _attempt(answer)):
            return n, line
    raise LookupError(answer.id)


def tell(history: History, place: Place, **fields: Any) -> None:
    """Let the answer say something else."""
    client, number = place
    answer = history.said[client][number]
    assert isinstance(answer, Told)
    history.said[client][number] = replace(answer, reply={**answer.reply, **fields})


def say(history: History, ask: Ask, reply: dict[str, Any]) -> None:
    """One more question and its answer, at the end."""
    at = max(line.at for lines in history.said.values() for line in lines) + 1
    history.said[ask.actor] += [
        replace(ask, at=at, client=ask.actor, id=ask.id),
        Told(at=at + 0.01, client=ask.actor, id=ask.id, attempt=ask.attempt, reply=reply),
    ]


def two_told(history: History, random: Random) -> None:
    """Somebody else is told the same lease."""
    place = told(history, random, "task.claim")
    _, ask = ask_of(history, place)
    reply = {key: value for key, value in _reply(history, place).items() if key != "sequence"}
    other = random.choice([name for name in AGENTS if name != ask.actor])
    say(history, replace(ask, actor=other, id="planted"), reply)


def other_holder_logged(history: History, random: Random) -> None:
    """The log gives the lease to somebody else than whom was told."""
    place = _claim_told(history, random)
    event = history.log[place]
    other = random.choice([name for name in AGENTS if name != event.body["actor"]])
    put(history, place, changed(event, data={"agent": other}))


def dead_fence_taken(history: History, random: Random) -> None:
    """Work under a fence that was over is told to be begun, though nothing is written."""
    place = told(history, random, "task.complete", "task.release", "task.fail")
    _, ask = ask_of(history, place)
    body = {"task": ask.body["task"], "fence": ask.body["fence"]}
    reply = {"ok": True, "position": history.log[-1].position, "result": {"unchanged": True}}
    say(history, replace(ask, verb="task.start", id="planted", body=body), reply)


def dead_lease_beats(history: History, random: Random) -> None:
    """A heartbeat is told of a lease that was over before."""
    place = told(history, random, "task.complete", "task.release", "task.fail")
    _, ask = ask_of(history, place)
    lease = {"task": ask.body["task"], "fence": ask.body["fence"]}
    reply = {"ok": True, "position": history.log[-1].position, "result": {"leases": [lease]}}
    say(history, replace(ask, verb="agent.heartbeat", id="planted", body={}), reply)


def unasked(history: History, random: Random) -> None:
    client, number = told(history, random)
    history.said[client].append(replace(history.said[client][number], id="planted"))


def old_fence_taken(history: History, random: Random) -> None:
    """A write is told to be carried out under the fence of an earlier holder."""
    writes = ("task.progress", "task.complete", "task.fail", "task.release", "task.start")
    for _ in range(1_000):
        place = told(history, random, *writes)
        number, ask = ask_of(history, place)
        if ask.body["fence"] > 1:
            break
    body = {**ask.body, "fence": ask.body["fence"] - 1}
    history.said[place[0]][number] = replace(ask, body=body)


def wrong_sequence(history: History, random: Random) -> None:
    place = told(history, random)
    tell(history, place, sequence=_reply(history, place)["sequence"] + 1)


def wrong_position(history: History, random: Random) -> None:
    place = told(history, random)
    tell(history, place, position=_reply(history, place)["position"] - 1)


def other_answer(history: History, random: Random) -> None:
    tell(history, told(history, random, attempts=2), result={"planted": True})


def refused_after_all(history: History, random: Random) -> None:
    """Carried out and told so; asked again, it is refused."""
    place = told(history, random, attempts=2)
    _retell(history, place, {"ok": False, "error": REFUSAL})


def unchanged_after_all(history: History, random: Random) -> None:
    """Carried out and told so; asked again, it is said to have changed nothing."""
    place = told(history, random, attempts=2)
    position = history.log[-1].position
    _retell(history, place, {"ok": True, "position": position, "result": {"unchanged": True}})


def refused_and_applied(history: History, random: Random) -> None:
    """All that was ever said of a command is no, yet the log has it."""
    place = told(history, random)
    client, number = place
    answer = history.said[client][number]
    lines = history.said[client]
    history.said[client] = [
        line for n, line in enumerate(lines) if line.id != answer.id or _attempt(line) == _attempt(answer)
    ]
    place = client, history.said[client].index(answer)
    _retell(history, place, {"ok": False, "error": REFUSAL})


def beyond_the_log(history: History, random: Random) -> None:
    """An answer that changed nothing names a position that the log does not reach."""
    client = random.choice(AGENTS)
    ask = next(line for line in history.said[client] if isinstance(line, Ask))
    position = history.log[-1].position + 10
    beat = replace(ask, verb="agent.heartbeat", id="planted", body={})
    say(history, beat, {"ok": True, "position": position, "result": {"leases": []}})


def never_enqueued(history: History, random: Random) -> None:
    history.plan.tasks[random.choice(history.plan.projects)].append("t-planted")


def _retell(history: History, place: Place, reply: dict[str, Any]) -> None:
    client, number = place
    answer = history.said[client][number]
    assert isinstance(answer, Told)
    history.said[client][number] = replace(answer, reply=reply)


def _reply(history: History, place: Place) -> dict[str, Any]:
    answer = history.said[place[0]][place[1]]
    assert isinstance(answer, Told)
    return answer.reply


def _attempt(line: Any) -> int:
    return int(line.attempt)


def _claim_told(history: History, random: Random) -> int:
    """The place in the log of a claim that its agent was told of."""
    answered = {
        line.id
        for lines in history.said.values()
        for line in lines
        if isinstance(line, Told) and line.reply["ok"]
    }
    while True:
        place = pick(history, random, "task.claimed")
        if history.log[place].body["command_id"] in answered:
            return place


TOLD_DAMAGES: tuple[tuple[str, str, Damage], ...] = (
    ("two clients are told the same fence", "one-told-holder", two_told),
    ("a client is told a lease that the log gives to another", "one-told-holder", other_holder_logged),
    ("a client may begin under a fence that is over", "one-told-holder", dead_fence_taken),
    ("a heartbeat is told of a lease that is over", "one-told-holder", dead_lease_beats),
    ("a client's write under an old fence is told ok", "one-told-holder", old_fence_taken),
    ("a write is acknowledged with a wrong sequence", "acknowledged", wrong_sequence),
    ("a write is acknowledged with a wrong position", "acknowledged", wrong_position),
    ("an answer names a position beyond the log", "acknowledged", beyond_the_log),
    ("an answer comes to what nobody asked", "acknowledged", unasked),
    ("a command asked again is told something else", "once", other_answer),
    ("a command that was carried out is refused when asked again", "once", refused_after_all),
    ("a command that was carried out is later said to change nothing", "once", unchanged_after_all),
    ("a refused command is applied after all", "once", refused_and_applied),
    ("a planned task is never enqueued", "finished", never_enqueued),
)
