"""What clients were told against what the log says: `acknowledged`, `once` and `one-told-holder`.

Reads the transcripts once, after the log. What was refused, or said to have changed nothing, and yet stands
in the log is only noted here; `second_look` judges it.
"""

from typing import Any

import msgspec

from services.prove.checker.commands import Commands, Run, key_of
from services.prove.checker.findings import Violations
from services.prove.checker.leases import Leases
from services.prove.evidence import Ask, Said, Told

MAX_REMEMBERED_POSITIONS = 100_000
"""A command asked again after so many more events is decided anew, as if it had never been asked."""

_encode = msgspec.json.Encoder(order="sorted").encode


class Answers:
    """Sees what was said, client by client; `suspects` are the commands to look at a second time.

    `strays` are answers to what was answered before: two services may have heard the same question, one of
    them after a long pause. Their questions are not kept, so they are looked up afterwards.
    """

    def __init__(self, commands: Commands, leases: Leases, head: int) -> None:
        self.violations = Violations("acknowledged")
        self.suspects: set[int] = set()
        self.strays: list[Told] = []
        self._commands = commands
        self._leases = leases
        self._head = head
        self._asked: dict[tuple[str, str, int], Ask] = {}

    def see(self, said: Said) -> None:
        match said:
            case Ask():
                self._asked[said.client, said.id, said.attempt] = said
                self._commands.asked(said.project, said.actor, said.id)
            case Told():
                ask = self._asked.pop((said.client, said.id, said.attempt), None)
                if ask is not None:
                    self.answered(ask, said.reply)
                elif not is_retryable(said.reply):
                    self.strays.append(said)
            case _:
                pass  # its answer may still come

    def answered(self, ask: Ask, reply: dict[str, Any]) -> None:
        """An answer came to this question."""
        self.violations.examined += 1
        key = key_of(ask.project, ask.actor, ask.id)
        run = self._commands.find(key)
        if not reply["ok"]:
            if run is not None and not is_retryable(reply):
                self.suspects.add(key)
            return
        if reply.get("sequence") is None:
            self._unchanged(ask, reply, run, key)
        elif run is None:
            self._lost(ask, reply)
            return
        else:
            self._carried_out(ask, reply, run, key)
        self._leases.told(ask, reply, run if reply.get("sequence") is not None else None)

    def _carried_out(self, ask: Ask, reply: dict[str, Any], run: Run, key: int) -> None:
        if (run.last, run.sequence) != (reply["position"], reply["sequence"]):
            self.violations.add(
                f"{_name(ask)} was told position {reply['position']}, #{reply['sequence']}, but its last"
                f" event stands at position {run.last}, #{run.sequence}."
            )
        answer = hash(_encode(reply)) or 1
        if self._commands.told_before(key, answer) != answer:
            self._commands.violations.add(f"{_name(ask)} was asked again and told something else: {reply}.")

    def _unchanged(self, ask: Ask, reply: dict[str, Any], run: Run | None, key: int) -> None:
        if reply["position"] > self._head:
            self.violations.add(
                f"{_name(ask)} was told position {reply['position']}, but the log ends at {self._head}."
            )
        if run is not None and reply["position"] - run.first <= MAX_REMEMBERED_POSITIONS:
            self.suspects.add(key)

    def _lost(self, ask: Ask, reply: dict[str, Any]) -> None:
        self.violations.add(
            f"{_name(ask)} was acknowledged at position {reply['position']}, #{reply['sequence']}, but the"
            " log has no event of it."
        )


def is_retryable(reply: dict[str, Any]) -> bool:
    """A refusal that says nothing of what became of the command."""
    return not reply["ok"] and bool(reply["error"]["retryable"])


def _name(ask: Ask) -> str:
    return f"Command {ask.id} ({ask.verb}) of {ask.actor} in {ask.project}"
