"""All checks over a folder of evidence: the log with the stream beside it, the transcripts, the rows."""

from pathlib import Path

import msgspec
from msgspec import Struct

from services.prove.checker.commands import Commands
from services.prove.checker.findings import Finding, Violations
from services.prove.checker.finished import check_finished
from services.prove.checker.holders import Holders
from services.prove.checker.leases import Leases
from services.prove.checker.order import LogOrder
from services.prove.checker.rows import Rows
from services.prove.checker.second_look import look_again, see_strays
from services.prove.checker.stream import StreamOrder
from services.prove.checker.told import Answers
from services.prove.checker.turns import find_turns
from services.prove.evidence import LOG, PLAN, ROWS, STREAM, Evidence

NEEDED = (LOG, STREAM, ROWS, PLAN)


class Report(Struct, kw_only=True):
    """What every check found; `ok` if none found a violation."""

    ok: bool
    findings: list[Finding]

    def finding(self, check: str) -> Finding:
        """Raises KeyError if there is no such check in the report."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)


def check(folder: Path) -> Report:
    """Go through all the evidence. What cannot be read violates the check `evidence`, found alone."""
    evidence = Evidence(folder)
    readable = _missing(evidence)
    try:
        checked = [] if readable.finding().count else _checked(evidence)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
        readable.add(f"A line of the evidence is not what it should be: {error!r}.")
        checked = []
    findings = [violations.finding() for violations in (readable, *checked)]
    return Report(ok=all(finding.ok for finding in findings), findings=findings)


def _missing(evidence: Evidence) -> Violations:
    violations = Violations("evidence")
    violations.examined = len(NEEDED) + len(evidence.transcripts())
    for name in NEEDED:
        if not (evidence.folder / name).is_file():
            violations.add(f"There is no {name} in {evidence.folder}.")
    if not evidence.transcripts():
        violations.add(f"There is no transcript-<client>.jsonl in {evidence.folder}.")
    return violations


def _checked(evidence: Evidence) -> list[Violations]:
    turns = find_turns(evidence.log())
    order, holders, commands = LogOrder(), Holders(turns), Commands()
    stream = StreamOrder(evidence.stream())
    for event in evidence.log():
        order.see(event)
        holders.see(event)
        commands.see(event)
        stream.see(event)
    stream.end()
    leases = Leases(holders.grants)
    answers = Answers(commands, leases, order.position)
    for said in evidence.said():
        answers.see(said)
    see_strays(evidence, answers)
    commands.end()
    rows = Rows(holders.projects, turns.turned)
    for row in evidence.rows():
        rows.see(row)
    rows.end()
    look_again(evidence, answers.suspects, commands.violations)
    return [
        order.violations,
        holders.holder_violations,
        leases.violations,
        answers.violations,
        commands.violations,
        holders.fence_violations,
        stream.violations,
        rows.violations,
        check_finished(evidence.plan(), holders.projects),
    ]
