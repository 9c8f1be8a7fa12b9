"""What a run of `coordctl prove claims` came to. Data only."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from services.prove.checker.findings import Finding
from services.prove.script import Script


class Recovery(Struct, frozen=True, kw_only=True):
    """A fault: when (completions so far), to whom, and in seconds how long until all was well again.

    `answered` is by project; the rates are commands answered ok a second before it, until the slowest project
    answered, and for a while afterwards.
    """

    fault: str
    says: str
    at: float
    completions: int
    victims: dict[str, int]
    answered: dict[str, float]
    relay: float
    projector: float
    before: float = 0.0
    during: float = 0.0
    after: float = 0.0

    @property
    def answered_s(self) -> float:
        """Until the last of the projects answered."""
        return max(self.answered.values())


class Done(Struct, frozen=True, kw_only=True):
    """What the clients did; `outcomes` by verb."""

    seconds: float
    completed: int
    commands: int
    asks: int
    repeated: int
    unanswered: int
    events: int
    outcomes: dict[str, dict[str, int]]

    @property
    def per_second(self) -> float:
        return self.commands / self.seconds


class Size(Struct, frozen=True, kw_only=True):
    """Room taken on disk while it lasted."""

    evidence_bytes: int
    data_bytes: int


class Result(Struct, frozen=True, kw_only=True):
    """`trouble` says what kept the run from its end; `evidence` is the folder if it was kept."""

    script: Script
    versions: dict[str, str]
    done: Done
    faults: list[Recovery]
    checks: list[Finding]
    size: Size
    trouble: str = ""
    evidence: Path | None = None

    @property
    def ok(self) -> bool:
        return not self.trouble and all(check.ok for check in self.checks)

    def document(self) -> dict[str, Any]:
        """As JSON tells it."""
        found: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        return {"ok": self.ok, **found}
