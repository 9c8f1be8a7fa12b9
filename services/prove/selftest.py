"""Does the checker find what it is there for? Every kind of violation is planted into a sound history.

Needs a temporary folder and nothing else; the history follows from the seed.
"""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from msgspec import Struct

from services.prove.checker import Report, check
from services.prove.selftest_history import History, sound_history
from services.prove.selftest_log import LOG_DAMAGES, Damage
from services.prove.selftest_told import TOLD_DAMAGES

SOUND = "nothing"
"""The kind of the first entry: the history as it is, which must pass every check."""


class Planted(Struct, frozen=True, kw_only=True):
    """What was planted, which check should find it, whether it did, and what it said first."""

    kind: str
    check: str
    found: bool
    said: str


def selftest(seed: int) -> list[Planted]:
    """All is well if every entry is `found`; for the sound history, if nothing was."""
    history = sound_history(seed)
    report = _checked(history)
    wrong = [sentence for finding in report.findings for sentence in finding.violations]
    first = Planted(kind=SOUND, check="all", found=report.ok, said=wrong[0] if wrong else "")
    return [first, *(_plant(history, seed, *each) for each in (*LOG_DAMAGES, *TOLD_DAMAGES))]


def _plant(history: History, seed: int, kind: str, expected: str, damage: Damage) -> Planted:
    damaged = history.copy()
    damage(damaged, Random(f"{seed} {kind}"))  # noqa: S311  # which place is damaged is no secret
    finding = _checked(damaged).finding(expected)
    said = finding.violations[0] if finding.violations else ""
    return Planted(kind=kind, check=expected, found=not finding.ok, said=said)


def _checked(history: History) -> Report:
    with TemporaryDirectory(prefix="coordctl-selftest-") as folder:
        history.write(Path(folder))
        return check(Path(folder))
