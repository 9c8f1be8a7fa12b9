"""What needs a second look through the transcripts, being rare: answers told twice, and suspect commands.

Suspect are commands that were told to be refused, or to change nothing, although the log has events of them.
That may be right: the attempt came before another one, which was carried out. It is wrong if the attempt was
sent after the command had been decided, or if no other attempt can have brought the events about.
"""

from collections.abc import Iterable, Set
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from services.prove.checker.commands import key_of
from services.prove.checker.findings import Violations
from services.prove.checker.told import Answers, is_retryable
from services.prove.evidence import Ask, Evidence, Logged, Said, Told


class Attempt(Struct):
    """`reply` is the first that told the fate of the command: what the client went by."""

    ask: Ask
    reply: dict[str, Any] | None = None

    @property
    def changed_nothing(self) -> bool:
        """It was refused for good, or told that all is so already."""
        if self.reply is None:
            return False
        if self.reply["ok"]:
            return self.reply.get("sequence") is None
        return True


class Suspect(Struct):
    """A command, the attempts at it, and the first of its events."""

    attempts: list[Attempt] = field(default_factory=list)
    event: Logged | None = None


def see_strays(evidence: Evidence, answers: Answers) -> None:
    """Let answers that came after another one to the same question be seen too."""
    strays: dict[tuple[str, str, int], list[Told]] = {}
    for stray in answers.strays:
        strays.setdefault((stray.client, stray.id, stray.attempt), []).append(stray)
    for line in evidence.said() if strays else ():
        if isinstance(line, Ask):
            for stray in strays.pop((line.client, line.id, line.attempt), ()):
                answers.answered(line, stray.reply)
    for client, command_id, _ in strays:
        answers.violations.add(f"Client {client} was told about {command_id} without having asked.")


def look_again(evidence: Evidence, suspects: Set[int], violations: Violations) -> None:
    """Judge these commands, which are keys of `commands.key_of`."""
    if not suspects:
        return
    found = _attempts(evidence.said(), suspects)
    _find_events(evidence.log(), found)
    for suspect in found.values():
        _judge(suspect, violations)


def _attempts(said: Iterable[Said], suspects: Set[int]) -> dict[int, Suspect]:
    found: dict[int, Suspect] = {}
    asked: dict[tuple[str, str, int], Attempt] = {}
    for line in said:
        if isinstance(line, Ask):
            key = key_of(line.project, line.actor, line.id)
            if key in suspects:
                attempt = asked[line.client, line.id, line.attempt] = Attempt(line)
                found.setdefault(key, Suspect()).attempts.append(attempt)
        elif isinstance(line, Told):
            told = asked.get((line.client, line.id, line.attempt))
            if told is not None and told.reply is None and not is_retryable(line.reply):
                told.reply = line.reply
    return found


def _find_events(log: Iterable[Logged], found: dict[int, Suspect]) -> None:
    for event in log:
        body = event.body
        suspect = found.get(key_of(event.project, body["actor"], body["command_id"]))
        if suspect is not None and suspect.event is None:
            suspect.event = event


def _judge(suspect: Suspect, violations: Violations) -> None:
    event = suspect.event
    assert event is not None, "a suspect has events"
    decided_at = datetime.fromisoformat(event.body["at"]).timestamp()
    denied = [attempt for attempt in suspect.attempts if attempt.changed_nothing]
    for attempt in denied:
        ask = attempt.ask
        if len(denied) == len(suspect.attempts):
            why = "though every attempt was told so"
        elif ask.at > decided_at:
            why = "which was before this attempt was sent"
        else:
            continue
        violations.add(
            f"Command {ask.id} ({ask.verb}) of {ask.actor} in {ask.project} was told {_short(attempt.reply)}"
            f" at attempt {ask.attempt}, but the log has {event.topic} of it at position {event.position},"
            f" {why}."
        )


def _short(reply: dict[str, Any] | None) -> str:
    assert reply is not None, "it was answered"
    return "that nothing changed" if reply["ok"] else f"{reply['error']['code']}"
