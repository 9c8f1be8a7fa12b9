"""What the fuzzer found, as one page and as data. Pure; 96 columns at most."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.prove.fuzz import MAX_GROWTH_BYTES, MAX_LOG_BYTES, Result

RULE = "─" * 96
MIB = 1024 * 1024
COLUMNS = 3
CELL_CHARS = 32
WORD_CHARS = 400


def document(result: Result) -> dict[str, Any]:
    """All of it, for `--json`."""
    bounds = {"growth_bytes": MAX_GROWTH_BYTES, "log_bytes": MAX_LOG_BYTES}
    return {"ok": result.ok, **msgspec.to_builtins(result), "bounds": bounds}


def page(result: Result) -> str:
    """All of it as text."""
    rate = result.messages / result.seconds if result.seconds else 0.0
    written = result.after.events - result.before.events
    logged = result.after.log_bytes - result.before.log_bytes
    return "\n".join((
        f"coordctl prove fuzz   {result.messages} messages, seed {result.seed}",
        f"{result.seconds:.1f} s, {rate:.0f} messages a second",
        RULE,
        "Sent",
        *_table(result.sent),
        "Answered",
        *_table(result.answers),
        "HTTP",
        *_table(result.http),
        RULE,
        *_memory(result),
        f"Events written: {written}; lines of logs: {logged} bytes, {MAX_LOG_BYTES} at most",
        RULE,
        *(word[:WORD_CHARS] for word in result.broken),
        f"HELD: {_VERDICT}." if result.ok else f"BROKEN: {result.violations} violations.",
    ))  # fmt: skip


_VERDICT = "typed errors, answers to who asked alone, no event, no fault, memory and logs bounded"


def _table(counts: Mapping[str, int]) -> list[str]:
    """Names and counts, several beside each other."""
    cells = [f"{name:<22}{count:>7}" for name, count in counts.items()]
    return [
        "  " + "".join(f"{cell:<{CELL_CHARS}}" for cell in cells[start : start + COLUMNS]).rstrip()
        for start in range(0, len(cells), COLUMNS)
    ]


def _memory(result: Result) -> list[str]:
    lines = [f"Memory in MiB, before and after; {MAX_GROWTH_BYTES // MIB} more at most"]
    for name, after in result.after.rss_bytes.items():
        before = result.before.rss_bytes.get(name, 0)
        lines.append(f"  {name:<14}{before / MIB:>8.1f}{after / MIB:>8.1f}")
    return lines
