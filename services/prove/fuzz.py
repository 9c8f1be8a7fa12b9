"""The fuzzer: a hundred thousand hostile messages at a real system, and what has to be true of it afterwards.

Every message whose sender has an inbox is told a typed error, no message appears where nobody may publish, no
process ends, memory and logs stay within bounds, not one event is written, and a good command still works.
Sends over bare connections; writes nothing but one command at the end.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from http import HTTPStatus
from random import Random
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Struct

from domain.errors import CoordError
from services.bus.caller import Caller
from services.prove.fuzz_shots import PROJECT, Shot, shots
from services.prove.fuzz_target import Standing, Target
from services.prove.fuzz_wire import (
    Wire,
    frame,
    http_request,
    http_status,
    huge_message,
    protocol_violation,
    violate,
)

SENDERS = 4
MAX_SIDE_CONNECTIONS = 8
MAX_IN_FLIGHT = 1_000
MAX_IN_FLIGHT_BYTES = 16 * 1024 * 1024
VOLLEY_SHOTS = 50
ANSWER_TIMEOUT_S = 30.0
SETTLE_S = 1.0
MAX_TOLD = 20
FAULT_CHARS = 2_000

MAX_GROWTH_BYTES = 160 * 1024 * 1024
"""How much more memory a process may hold after the run than before it."""

MAX_LOG_BYTES = 1024 * 1024
"""How much the services may say about it all."""

PROTOCOL_VIOLATIONS_PER_MESSAGE = 1 / 500
HTTP_REQUESTS_PER_MESSAGE = 1 / 250
HUGE_MESSAGES = 5
INTERNAL_SERVER_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR
REFUSED = b".refused"
UNTYPED_CODES = ("internal_error", "error", "rejected", "")


class Result(Struct, frozen=True, kw_only=True):
    """What became of it; `broken` are the first violations in words, `violations` counts them all."""

    seed: int
    messages: int
    seconds: float
    sent: dict[str, int]
    answers: dict[str, int]
    http: dict[str, int]
    before: Standing
    after: Standing
    violations: int
    broken: list[str]

    @property
    def ok(self) -> bool:
        return self.violations == 0


class Scores:
    """Who still waits for an answer, what was answered, and what went wrong."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.http: Counter[str] = Counter()
        self.waiting: dict[bytes, Shot] = {}
        self.maybe: dict[bytes, Shot] = {}
        self.forbidden: set[bytes] = set()
        self.violations = 0
        self.broken: list[str] = []
        self.changed = asyncio.Event()

    def wrong(self, what: str) -> None:
        self.violations += 1
        if len(self.broken) < MAX_TOLD:
            self.broken.append(what)

    def note(self, shot: Shot) -> None:
        """The shot is about to be fired."""
        self.sent[shot.kind] += 1
        if shot.forbidden:
            self.forbidden.add(shot.reply)
        elif shot.due in ("error", "reply"):
            self.waiting[shot.reply] = shot
        elif shot.due == "maybe":
            self.maybe[shot.reply] = shot

    def heard(self, subject: bytes, payload: bytes) -> None:
        """Somebody published this."""
        shot = self.waiting.pop(subject, None) or self.maybe.pop(subject, None)
        if shot is not None:
            self._judge(shot, payload)
            self.changed.set()
        elif subject in self.forbidden:
            self.wrong(f"something was published to {subject!r}: {payload[:200]!r}")
        elif subject.endswith(REFUSED):
            self.answers["refused"] += 1  # told of a reply subject that is not its own
        elif subject.startswith((b"_INBOX.f", b"_INBOX._")):
            self.wrong(f"an answer that nobody asked for, or a second one, to {subject!r}: {payload[:200]!r}")

    def _judge(self, shot: Shot, payload: bytes) -> None:
        try:
            reply: Any = msgspec.json.decode(payload)
            error = reply.get("error", {})
            code, typed = error.get("code", ""), bool(error.get("message")) and "retryable" in error
        except (msgspec.DecodeError, AttributeError):
            self.wrong(f"{shot.kind} {shot.subject!r} was answered {payload[:200]!r}")
            return
        if reply.get("ok") is True and shot.due == "reply":
            self.answers["ok"] += 1
        elif reply.get("ok") is False and typed and code not in UNTYPED_CODES and b"Traceback" not in payload:
            self.answers[code] += 1
        else:
            self.wrong(f"{shot.kind} {shot.subject!r} {shot.payload[:100]!r} was answered {payload[:300]!r}")


async def fuzz(target: Target, messages: int, seed: int) -> Result:
    """Fire so many messages at the system, and look at it before and after."""
    before = target.standing()
    scores = Scores()
    spy = await Wire.open(target.nats_url)
    listening = asyncio.create_task(spy.listen(scores.heard))
    began = perf_counter()
    try:
        await asyncio.gather(
            _barrage(target, scores, seed, messages),
            _violations(target, scores, seed, messages),
            _http(target, scores, seed, messages),
        )
        await _answered(scores, 0)
        seconds = perf_counter() - began
        await asyncio.sleep(SETTLE_S)  # what should never come has had its time
        if listening.done():
            scores.wrong("the server ended the connection that listens, so nothing is known")
    finally:
        listening.cancel()
        await spy.close()
    after = target.standing()
    for shot in scores.waiting.values():
        scores.wrong(
            f"no answer to {shot.kind} {shot.subject!r} {shot.payload[:100]!r} {shot.headers!r:.200}"
        )
    _compare(before, after, scores, target)
    await _still_works(target, scores)
    return Result(
        seed=seed,
        messages=scores.sent.total(),
        seconds=seconds,
        sent=dict(scores.sent.most_common()),
        answers=dict(scores.answers.most_common()),
        http=dict(scores.http.most_common()),
        before=before,
        after=after,
        violations=scores.violations,
        broken=scores.broken,
    )


async def _barrage(target: Target, scores: Scores, seed: int, messages: int) -> None:
    """Fire the shots in volleys over several connections, never too many unanswered at once."""
    wires = [await Wire.open(target.nats_url) for _ in range(SENDERS)]
    volley: list[Shot] = []
    for number, shot in enumerate(shots(seed, messages)):
        volley.append(shot)
        size = sum(len(each.payload) for each in volley)
        if len(volley) == VOLLEY_SHOTS or size > MAX_IN_FLIGHT_BYTES:
            await _fire(wires[number // VOLLEY_SHOTS % SENDERS], volley, scores)
            volley = []
    await _fire(wires[0], volley, scores)
    for wire in wires:
        if not await wire.answers_ping(ANSWER_TIMEOUT_S):
            scores.wrong("the server ended a connection that kept to the protocol")
        await wire.close()


async def _fire(wire: Wire, volley: list[Shot], scores: Scores) -> None:
    for shot in volley:
        scores.note(shot)
    try:
        await wire.send(b"".join(frame(s.subject, s.reply, s.headers, s.payload) for s in volley))
    except OSError as error:
        scores.wrong(f"the server ended a connection that kept to the protocol: {error}")
    await _answered(scores, MAX_IN_FLIGHT)


async def _answered(scores: Scores, most: int) -> None:
    """Wait until at most so many answers are due, or no answer has come for too long."""
    while len(scores.waiting) > most:
        scores.changed.clear()
        try:
            await asyncio.wait_for(scores.changed.wait(), ANSWER_TIMEOUT_S)
        except TimeoutError:
            for shot in scores.waiting.values():
                scores.wrong(f"no answer within {ANSWER_TIMEOUT_S:.0f} s to {shot.kind} {shot.subject!r}")
            scores.waiting.clear()


async def _violations(target: Target, scores: Scores, seed: int, messages: int) -> None:
    """Break the protocol of NATS, each time on a connection of its own."""
    random = Random(seed)  # noqa: S311  # to be repeated, not to be secret
    huge = {"10 MiB payloads": [huge_message()] * HUGE_MESSAGES}
    bad = [protocol_violation(random) for _ in range(int(messages * PROTOCOL_VIOLATIONS_PER_MESSAGE))]
    for kind, frames in {**huge, "protocol violations": bad}.items():
        scores.sent[kind] += len(frames)
        await _several([violate(target.nats_url, each) for each in frames])


async def _http(target: Target, scores: Scores, seed: int, messages: int) -> None:
    random = Random(seed)  # noqa: S311  # to be repeated, not to be secret

    async def ask(request: bytes) -> None:
        status = await http_status(target.http_url, request)
        scores.http[str(status or "closed")] += 1
        if status == INTERNAL_SERVER_ERROR:
            scores.wrong(f"HTTP {status} for {request[:200]!r}")

    requests = [http_request(random) for _ in range(int(messages * HTTP_REQUESTS_PER_MESSAGE))]
    scores.sent["HTTP"] += len(requests)
    await _several([ask(request) for request in requests])


async def _several(jobs: list[Coroutine[Any, Any, None]]) -> None:
    """All of them, a few at a time."""
    free = asyncio.Semaphore(MAX_SIDE_CONNECTIONS)

    async def one(job: Coroutine[Any, Any, None]) -> None:
        async with free:
            await job

    await asyncio.gather(*(one(job) for job in jobs))


def _compare(before: Standing, after: Standing, scores: Scores, target: Target) -> None:
    if (before.events, before.head) != (after.events, after.head):
        scores.wrong(f"{after.events - before.events} events were written")
    if before.pids != after.pids:
        scores.wrong(f"processes ended: {before.pids} became {after.pids}")
    for name, rss in after.rss_bytes.items():
        if rss - before.rss_bytes.get(name, 0) > MAX_GROWTH_BYTES:
            scores.wrong(f"{name} grew from {before.rss_bytes.get(name, 0)} to {rss} bytes")
    if after.log_bytes - before.log_bytes > MAX_LOG_BYTES:
        scores.wrong(f"the services wrote {after.log_bytes - before.log_bytes} bytes of logs")
    _, fault, words = target.words_since(before.log_bytes).partition("Traceback")
    if fault:
        scores.wrong(f"a service had a fault: {words[:FAULT_CHARS]}")


async def _still_works(target: Target, scores: Scores) -> None:
    """A good command, told and in the log."""
    events, _ = target.events()
    try:
        async with Caller(target.nats_url, PROJECT, "f0") as caller:
            await caller.ask("task.enqueue", {"title": "Still here"})
    except CoordError as error:
        scores.wrong(f"a good command was refused afterwards: {error}")
        return
    if target.events()[0] != events + 1:
        scores.wrong("a good command brought about another number of events than one")
