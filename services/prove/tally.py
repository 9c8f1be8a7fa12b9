"""What the transcripts say in numbers: what was asked with which outcome, and how much in which time.

Reads the transcripts of a folder of evidence, line by line; changes nothing.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

BUCKET_S = 0.1
READ_BYTES = 4_000_000
"""How much of a transcript is read at once."""


class _Error(Struct):
    code: str
    retryable: bool = False


class _Reply(Struct):
    ok: bool
    error: _Error | None = None


class _Line(Struct):
    do: str
    at: float
    id: str
    attempt: int = 1
    verb: str = ""
    reply: _Reply | None = None


class Tally:
    """`answers` counts commands that were first answered ok in each tenth of a second, by its number."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.answers: Counter[int] = Counter()
        self.asked = 0
        self.repeated = 0
        self.unanswered = 0

    def add(self, transcript: Path) -> None:
        """Go through what one client was told."""
        open_verbs: dict[str, str] = {}
        decoder = msgspec.json.Decoder(_Line)
        with transcript.open("rb") as file:
            while lines := file.readlines(READ_BYTES):
                for line in lines:
                    self._add(decoder.decode(line), open_verbs)

    def per_second(self, since: float, until: float) -> float:
        """Commands answered ok a second between two moments, to a tenth of a second."""
        first, last = int(since / BUCKET_S), max(int(until / BUCKET_S), int(since / BUCKET_S) + 1)
        return sum(self.answers[slot] for slot in range(first, last)) / ((last - first) * BUCKET_S)

    def by_verb(self) -> dict[str, dict[str, int]]:
        """Outcomes by verb: `ok`, or the code of the refusal."""
        found: dict[str, dict[str, int]] = {}
        for (verb, outcome), count in sorted(self.outcomes.items()):
            found.setdefault(verb, {})[outcome] = count
        return found

    def _add(self, line: _Line, open_verbs: dict[str, str]) -> None:
        """Only the first answer that stands counts; what comes after it is a repeat."""
        match line.do:
            case "ask":
                self.asked += 1
                self.repeated += line.attempt > 1
                if line.attempt == 1:
                    open_verbs[line.id] = line.verb
            case "unanswered":
                self.unanswered += 1
            case "told" if line.reply is not None and line.id in open_verbs:
                error = line.reply.error
                verb = open_verbs[line.id]
                self.outcomes[verb, error.code if error else "ok"] += 1
                if error is None or not error.retryable:
                    del open_verbs[line.id]
                if line.reply.ok:
                    self.answers[int(line.at / BUCKET_S)] += 1


def tally(transcripts: Sequence[Path]) -> Tally:
    """All of them together."""
    found = Tally()
    for transcript in transcripts:
        found.add(transcript)
    return found
