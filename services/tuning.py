"""How the interpreter is set for work that makes many small objects, and for threads that take turns."""

import gc
import sys

GC_THRESHOLDS = (50_000, 20, 50)
"""Ledgers, rows and caches are many and hold no cycles: looking often takes long and finds nothing."""

SWITCH_INTERVAL_S = 0.00003


def collect_seldom() -> None:
    gc.set_threshold(*GC_THRESHOLDS)


def switch_often() -> None:
    """Let a thread that waits for Postgres have its turn soon after the answer is there."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
