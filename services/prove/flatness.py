"""Whether what was sampled is flat: memory by its slope over the second half, lag by its last quarter. Pure.

A writer keeps the id of every finished task, so that none is done twice: its memory may grow by some bytes a
task. The other services may not grow with the work. The servers' memory is shown and not judged: Postgres
fills its buffers, and nats-server keeps an index of the stream's subjects, one or more for each task.
"""

from collections.abc import Sequence
from statistics import linear_regression, median
from typing import Any

import msgspec
from msgspec import Struct

from services.prove.soak import Pace, Sample
from services.roster import SERVICES, service_of

MAX_GROWTH_MIB_PER_MINUTE = 1.0
MAX_WRITER_GROWTH_BYTES_PER_TASK = 512.0
MAX_LAG_GROWTH_S = 0.25
MAX_LAG_GROWTH_EVENTS = 2_000
MIN_HELD_SHARE = 0.95
"""How much of the pace must have been held for the rest to mean anything."""

MAX_UNSEEN_SHARE = 0.1
"""How many of the samples may be missing."""

MIB = 1024 * 1024
SECONDS_PER_MINUTE = 60


class Memory(Struct, frozen=True, kw_only=True):
    """A process: its memory at both ends, and how it grew in the second half. `flat` is None if unjudged."""

    process: str
    first_mib: float
    last_mib: float
    mib_per_minute: float
    bytes_per_task: float
    bound: str
    flat: bool | None


class Lag(Struct, frozen=True, kw_only=True):
    """A lag: medians of its first and its last quarter, and the most it was."""

    what: str
    first: float
    last: float
    most: float
    bound: float
    flat: bool


class Verdict(Struct, frozen=True, kw_only=True):
    """All of it; `samples` are what it was made from."""

    pace: Pace
    memory: list[Memory]
    lags: list[Lag]
    samples: list[Sample]

    @property
    def pace_held(self) -> bool:
        return self.pace.held >= MIN_HELD_SHARE * self.pace.wanted

    @property
    def ok(self) -> bool:
        flat = [each.flat is not False for each in self.memory] + [each.flat for each in self.lags]
        return self.pace_held and self.seen and all(flat)

    @property
    def seen(self) -> bool:
        return self.pace.unseen <= MAX_UNSEEN_SHARE * len(self.samples)

    def document(self) -> dict[str, Any]:
        """As JSON tells it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return {"ok": self.ok, "pace_held": self.pace_held, **found}


def judge(pace: Pace, samples: list[Sample]) -> Verdict:
    """Needs eight samples or more. Raises ValueError if there are fewer."""
    if len(samples) < 8:
        raise ValueError("too few samples to judge by")
    processes = [name for name in samples[0].rss_bytes if all(name in each.rss_bytes for each in samples)]
    return Verdict(
        pace=pace,
        memory=[_memory(name, samples) for name in processes],
        lags=[
            _lag("relay, events", [float(each.relay_lag_events) for each in samples], MAX_LAG_GROWTH_EVENTS),
            _lag(
                "projector, events",
                [float(each.projector_lag_events) for each in samples],
                MAX_LAG_GROWTH_EVENTS,
            ),
            _lag("projector, s", [each.projector_lag_s for each in samples], MAX_LAG_GROWTH_S),
            *(
                _lag(name, [each.queues.get(name, 0.0) for each in samples], MAX_LAG_GROWTH_EVENTS)
                for name in samples[0].queues
            ),
        ],
        samples=samples,
    )


def _memory(process: str, samples: Sequence[Sample]) -> Memory:
    half = samples[len(samples) // 2 :]
    sizes = [each.rss_bytes[process] for each in half]
    per_second = linear_regression([each.at for each in half], sizes).slope
    tasks_per_second = linear_regression([each.at for each in half], [each.tasks for each in half]).slope
    mib_per_minute = per_second * SECONDS_PER_MINUTE / MIB
    bytes_per_task = per_second / tasks_per_second if tasks_per_second else 0.0
    service = service_of(process)
    flat: bool | None = None
    bound = "not judged"
    if service == "writer":
        bound = f"{MAX_WRITER_GROWTH_BYTES_PER_TASK:.0f} bytes a task"
        flat = bytes_per_task <= MAX_WRITER_GROWTH_BYTES_PER_TASK
    elif service in SERVICES:
        bound = f"{MAX_GROWTH_MIB_PER_MINUTE:g} MiB a minute"
        flat = mib_per_minute <= MAX_GROWTH_MIB_PER_MINUTE
    return Memory(
        process=process, first_mib=samples[0].rss_bytes[process] / MIB,
        last_mib=samples[-1].rss_bytes[process] / MIB, mib_per_minute=mib_per_minute,
        bytes_per_task=bytes_per_task, bound=bound, flat=flat,
    )  # fmt: skip


def _lag(what: str, values: Sequence[float], growth: float) -> Lag:
    quarter = len(values) // 4
    first, last = median(values[:quarter]), median(values[-quarter:])
    return Lag(
        what=what, first=first, last=last, most=max(values), bound=first + growth, flat=last <= first + growth
    )
