"""The page that a run ends with: what was done, and what was found. Pure; 96 columns at most."""

from collections.abc import Iterable, Sequence

from services.prove.checker.findings import Finding
from services.prove.flatness import Verdict
from services.prove.result import Recovery, Result

RULE = "─" * 96
MIB = 1024 * 1024


def page(result: Result) -> str:
    """All of it as text."""
    parts = (_head(result), _done(result), _injected(result.faults), _found(result.checks), _end(result))
    return "\n".join(line for part in parts for line in part)


def soak_page(verdict: Verdict) -> str:
    """What a soak came to, as text."""
    pace = verdict.pace
    last = verdict.samples[-1]
    memory = [("process", "first MiB", "last MiB", "MiB a minute", "bytes a task", "bound", "")]
    memory += [
        (
            each.process, f"{each.first_mib:.1f}", f"{each.last_mib:.1f}", f"{each.mib_per_minute:.2f}",
            f"{each.bytes_per_task:.0f}", each.bound, _flat(each.flat),
        )
        for each in verdict.memory
    ]  # fmt: skip
    lags = [("lag or queue", "first quarter", "last quarter", "most", "bound", "")]
    lags += [
        (
            each.what, f"{each.first:.2f}", f"{each.last:.2f}", f"{each.most:.2f}", f"{each.bound:.2f}",
            _flat(each.flat),
        )
        for each in verdict.lags
    ]  # fmt: skip
    lines = [
        f"coordctl prove soak   {last.at / 60:.1f} minutes, {pace.tasks} tasks completed",
        f"full load {pace.full:.0f} commands/s; wanted {pace.wanted:.0f}, held {pace.held:.0f}",
        RULE,
        "Memory; the slopes are those of the second half",
        *_aligned(memory),
        RULE,
        "Lags and queues; medians",
        *_aligned(lags),
        RULE,
    ]
    if not verdict.pace_held:
        lines.append("The pace was not held, so the rest says little.")
    if pace.unseen:
        lines.append(f"{pace.unseen} samples could not be taken: somebody did not answer in time.")
    return "\n".join([*lines, "FLAT." if verdict.ok else "NOT FLAT."])


def _flat(flat: bool | None) -> str:
    return {True: "flat", False: "GROWS", None: ""}[flat]


def _head(result: Result) -> list[str]:
    script = result.script
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    return [
        f"coordctl prove claims   seed {script.seed}: {script.agents} agents, {script.tasks} tasks,"
        f" {script.projects} projects, {len(result.faults)} faults",
        versions,
        RULE,
    ]


def _done(result: Result) -> list[str]:
    done = result.done
    lines = [
        "Done",
        f"  {done.completed} tasks completed by {done.commands} commands in {done.seconds:.1f} s:"
        f" {done.per_second:.0f} commands/s, {done.events} events",
        f"  sent {done.asks} times: {done.repeated} times again, {done.unanswered} times without an answer",
    ]
    for verb, outcomes in done.outcomes.items():
        told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        lines.append(f"  {verb:<20} {told}")
    return [*lines, RULE]


def _injected(faults: Sequence[Recovery]) -> list[str]:
    if not faults:
        return ["Injected", "  nothing", RULE]
    rows = [
        ("after", "fault", "answered", "stream", "tables", "before", "during", "afterwards"),
        ("tasks", "", "after s", "after s", "after s", "cmds/s", "cmds/s", "cmds/s"),
    ]
    rows += [
        (
            str(each.completions), f"{each.fault} ({', '.join(each.victims)})", f"{each.answered_s:.2f}",
            f"{each.relay:.2f}", f"{each.projector:.2f}", f"{each.before:.0f}", f"{each.during:.0f}",
            f"{each.after:.0f}",
        )
        for each in faults
    ]  # fmt: skip
    return ["Injected", *_aligned(rows), RULE]


def _found(checks: Sequence[Finding]) -> list[str]:
    rows = [("check", "examined", "violations")]
    rows += [(each.check, str(each.examined), str(each.count) if each.count else "none") for each in checks]
    told = [f"  {each.check}: {sentence}" for each in checks for sentence in each.violations[:3]]
    return ["Found", *_aligned(rows), *told, RULE]


def _end(result: Result) -> list[str]:
    size = result.size
    lines = [
        f"Room on disk: evidence {size.evidence_bytes / MIB:.0f} MiB,"
        f" the system's data {size.data_bytes / MIB:.0f} MiB"
    ]
    if result.trouble:
        lines.append(f"The run did not come to its end: {result.trouble}")
    if result.evidence is not None:
        lines.append(f"The evidence is in {result.evidence}")
    violations = sum(check.count for check in result.checks)
    lines.append("PROVED: no violation." if result.ok else f"NOT PROVED: {violations} violations.")
    return lines


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    numbers = [all(_is_number(row[place]) for row in rows[2:]) for place in range(len(widths))]
    for row in rows:
        cells = [
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(row, widths, numbers, strict=True)
        ]
        yield ("  " + "  ".join(cells)).rstrip()


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal() or text == "none"
