"""The fuzzer's messages: each hostile, each no command that could bring an event about. Pure.

`shots` draws them from a seed. A shot says where an answer is due: a typed error for every message whose
subject reaches a door and whose reply subject is an inbox of the one who asks, and none for all others.
"""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.errors import CoordError
from services.bus.wire import MAX_PAYLOAD_BYTES, command_subject, parse_command
from services.prove import fuzz_values as hostile
from services.reading.reads import view_names
from services.writer.shards import SHARDS, shard_of

PROJECT = "fuzz"
ACTORS = ("f0", "f1", "f2", "f3")
VICTIM = "victim"
LARGE_BYTES = (MAX_PAYLOAD_BYTES + 1, 400_000, 900_000)
REFUSED_INPUT_BYTES = 200_000
LONG_TOKEN_CHARS = 1_500  # twice that, and the reply, still fit the line that a server reads
ATTEMPTS = 50

Due = Literal["error", "reply", "maybe", "none"]
"""An error; any typed reply; a typed reply or nothing; nothing."""


class Shot(Struct, frozen=True):
    """One message. `forbidden` says that nobody may ever publish to its reply subject."""

    kind: str
    subject: bytes
    payload: bytes
    reply: bytes = b""
    headers: bytes | None = None
    due: Due = "error"
    forbidden: bool = False


_TASK: dict[str, Any] = {"task": "t-1", "fence": 1}
_FIELDS: dict[str, Any] = {
    "title": "Draw the map", "description": "all of it", "type": "task", "persona": "map",
    "capabilities": ["gpu"], "priority": 3, "depends_on": ["t-0"], "parent": "t-0",
    "links": [{"kind": "see", "to": "t-9"}], "run_after": "2026-01-01T00:00:00Z",
    "retry": {"attempts": 3, "backoff_s": 1.0, "factor": 2.0, "max_backoff_s": 60.0}, "lease_s": 60.0,
}  # fmt: skip
BODIES: Mapping[str, dict[str, Any]] = {
    "agent.spawn": {"persona": "plot", "agent": "a1", "platform": "x", "capabilities": ["web"]},
    "agent.heartbeat": {},
    "agent.leave": {"reason": "done"},
    "agent.terminate": {"agent": "a1", "reason": "done"},
    "session.start": {
        "platform": "x", "role": "planner", "focus": "Act two", "task": "t-1", "parent": "n-1",
    },
    "session.end": {"session": "n-1", "reason": "done"},
    "persona.define": {"persona": "poet", "definition": "Rhymes.", "capabilities": ["verse"]},
    "task.enqueue": {"id": "t-1", **_FIELDS},
    "task.plan": {"tasks": [{"local": "a", "id": "t-1", **_FIELDS}]},
    "task.import": {"tasks": [{"id": "t-1", "status": "open", **_FIELDS}]},
    "task.claim": {"task": "t-1", "count": 1, "wait_s": 0.5},
    "task.start": {**_TASK},
    "task.progress": {**_TASK, "note": "half", "percent": 50},
    "task.complete": {**_TASK},
    "task.complete_many": {"tasks": [{**_TASK}]},
    "task.fail": {**_TASK, "error": "no", "retryable": True},
    "task.release": {**_TASK, "reason": "later"},
    "task.requeue": {"task": "t-1", "reason": "later"},
    "task.cancel": {"task": "t-1", "reason": "over"},
    "task.reprioritize": {"task": "t-1", "priority": 5},
    "task.retry": {"task": "t-1"},
    "handoff.initiate": {
        **_TASK, "to_agent": "a2", "to_persona": "map", "reason": "night", "expires_s": 60.0,
        "context": {"goal": "g", "done": ["x"], "ruled_out": [], "next_step": "y"},
    },
    "handoff.accept": {"handoff": "h-1"},
    "handoff.reject": {"handoff": "h-1", "reason": "no"},
    "handoff.complete": {"handoff": "h-1", "note": "thanks"},
    "setting.set": {"key": "max_agents", "value": 0, "scope": "project", "user": "u1"},
    "setting.unset": {"key": "max_agents", "scope": "project", "user": "u1"},
    "failure.record": {"feature": "f", "approach": "a", "why": "w", "lesson": "l", "task": "t-1"},
    "estimate.record": {"feature": "f", "sessions": 1.5, "complexity": 3, "persona": "map"},
    "estimate.close": {
        "estimate": "e-1", "sessions": 2.0, "files_created": 1, "files_modified": 2, "notes": "n",
    },
    "retro.record": {
        "feature": "f", "surprises": "s", "would_change": "w", "new_patterns": "p", "spike_accuracy": 90,
    },
    "memory.store": {
        "text": "t", "kind": "fact", "importance": 0.5, "tags": ["x"], "visibility": "private", "task": "t-1",
        "session": "n-1", "supersedes": ["m-1"],
    },
    "memory.use": {"uses": [{"memory": "m-1", "times": 2}]},
    "memory.archive": {"memories": ["m-1"], "reason": "old"},
    "memory.share": {"memory": "m-1", "to_agent": "a2", "to_project": "other"},
    "spike.initiate": {"question": "q", "approach": "a", "task": "t-1"},
    "spike.conclude": {"spike": "s-1", "result": "r", "viable": True, "lessons": "l", "minutes": 5.0},
    "decision.record": {
        "title": "t", "choice": "c", "context": "x", "alternatives": ["a"], "consequences": "y",
        "supersedes": "d-1", "task": "t-1",
    },
    "pattern.define": {"pattern": "p1", "description": "d", "example": "e"},
    "pattern.use": {"pattern": "p1", "file": "a.py", "compliance": 80, "note": "n", "task": "t-1"},
    "complexity.snapshot": {
        "files": [{"file": "a.py", "score": 1.5, "lines": 10, "functions": 2, "dependencies": 3}],
    },
    "docs.cache": {
        "library": "l", "content": "c", "release": "1.0", "topic": "t", "source": "s", "days": 7.0,
    },
    "action.record": {"actions": [{"action": "pytest", "seconds": 1.5, "success": False, "error": "e"}]},
    "bookmark.set": {"bookmark": "here", "sequence": 1, "note": "n"},
    "bookmark.remove": {"bookmark": "here"},
    "project.fork": {"origin": "main", "sequence": 1, "reason": "why not"},
    "project.restore": {"sequence": 1, "reason": "wrong way"},
}  # fmt: skip
"""A whole body for each verb, from which the broken ones are made."""

VERBS = tuple(sorted(BODIES))


class Gunsmith:
    """Makes shots, each with a reply subject of its own."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  # to be repeated, not to be secret
        self._made = 0

    def reply(self, actor: str) -> bytes:
        self._made += 1
        return f"_INBOX.{actor}.{self._made}".encode()

    def command(self, kind: str, verb: str, payload: bytes, headers: bytes | None = None) -> Shot:
        actor = self.random.choice(ACTORS)
        subject = command_subject(PROJECT, actor, verb).encode()
        return Shot(kind, subject, payload, self.reply(actor), headers)

    def broken(self, kind: str, make: Callable[[str], bytes]) -> Shot:
        """A payload that is no command of its verb, whatever chance made of it."""
        for _ in range(ATTEMPTS):
            verb = self.random.choice(VERBS)
            payload = make(verb)
            if not is_command(verb, payload):
                return self.command(kind, verb, payload)
        raise AssertionError(f"{kind} makes nothing but commands")

    def some_path(self, verb: str) -> tuple[str | int, ...]:
        return self.random.choice(hostile.paths(BODIES[verb]) or [("x",)])

    def with_value(self, verb: str, raw: bytes) -> bytes:
        return hostile.with_value(BODIES[verb], self.some_path(verb), raw)


def is_command(verb: str, payload: bytes) -> bool:
    try:
        parse_command(verb, payload)
    except CoordError:
        return False
    return True


def random_bytes(smith: Gunsmith) -> Shot:
    return smith.broken("random bytes", lambda _: hostile.octets(smith.random))


def truncated(smith: Gunsmith) -> Shot:
    def cut(verb: str) -> bytes:
        whole = msgspec.json.encode(BODIES[verb])
        return whole[: smith.random.randint(1, len(whole) - 1)]

    return smith.broken("truncated JSON", cut)


def wrong_type(smith: Gunsmith) -> Shot:
    return smith.broken("wrong types", lambda v: smith.with_value(v, smith.random.choice(hostile.WRONG)))


def unknown_field(smith: Gunsmith) -> Shot:
    name = msgspec.json.encode(hostile.text(smith.random))
    return smith.broken(
        "unknown fields",
        lambda verb: msgspec.json.encode(BODIES[verb])[:-1].rstrip(b"{") + b"{" * (not BODIES[verb])
        + b"," * bool(BODIES[verb]) + name + b":1}",
    )  # fmt: skip


def deep(smith: Gunsmith) -> Shot:
    return smith.broken("deep nesting", lambda verb: smith.with_value(verb, hostile.nested(smith.random)))


def huge_number(smith: Gunsmith) -> Shot:
    return smith.broken("huge numbers", lambda v: smith.with_value(v, smith.random.choice(hostile.NUMBERS)))


def odd_text(smith: Gunsmith) -> Shot:
    return smith.broken("odd Unicode", lambda verb: smith.with_value(verb, hostile.odd_string(smith.random)))


def large(smith: Gunsmith) -> Shot:
    size = smith.random.choice(LARGE_BYTES)
    return smith.command("large payloads", smith.random.choice(VERBS), b'{"a":"' + b"x" * size + b'"}')


def refused(smith: Gunsmith) -> Shot:
    """Well said, and refused by the domain for what it names; some with much baggage."""
    filler = smith.random.choice(("", "", "", "", "", "", "", "", "", "x" * REFUSED_INPUT_BYTES))
    verb, body = smith.random.choice(
        (
            ("task.enqueue", {"title": "x", "depends_on": ["t-none"], "input": filler}),
            ("task.complete", {**_TASK, "result": filler}),
            ("task.claim", {"count": 100, "wait_s": 60}),
            ("agent.spawn", {"persona": "nobody", "metadata": filler}),
            ("agent.heartbeat", {}),
            ("handoff.accept", {"handoff": "h-none"}),
            ("setting.set", {"key": "max_agents", "value": filler or -1}),
            ("setting.set", {"key": "theme", "value": filler or "red", "scope": "system"}),
            ("bookmark.set", {"bookmark": "now", "sequence": 0}),
            ("project.fork", {"origin": "nowhere", "sequence": 1}),
            ("project.restore", {"sequence": 2**62, "reason": "back"}),
        )
    )
    return smith.command("refused by the domain", verb, msgspec.json.encode(body))


def wild_project(smith: Gunsmith) -> Shot:
    """Names of projects that there are not: each would fill a little memory."""
    actor = smith.random.choice(ACTORS)
    subject = command_subject(f"wild-{smith.random.getrandbits(60):x}", actor, "agent.heartbeat")
    return Shot("projects that are not", subject.encode(), b"{}", smith.reply(actor))


_TOKENS = (
    b"", b"*", b">", b"a*", b"_x", b"_ticker", b"_system", b"\xff\xfe", b"\x00", b"a\x0bb", b"\x0c", b"\x7f",
    b"x" * LONG_TOKEN_CHARS, "\u202e".encode(), "\U0001f600".encode(), b"%00", b"..\\", b"';--", b"a,b",
    b"1\x0b2",
)  # fmt: skip


def odd_subject(smith: Gunsmith) -> Shot:
    """A token of a good subject is odd, or there are too few or too many."""
    actor = smith.random.choice(ACTORS).encode()
    good = [b"coord", PROJECT.encode(), b"cmd", actor, b"task", b"claim"]
    place = smith.random.randrange(1, 6)
    odd = smith.random.choice(_TOKENS)
    match smith.random.randrange(8):
        case 0:
            tokens = good[: smith.random.randint(1, 5)]
        case 1:
            tokens = [*good, odd or b"x"]
        case 2:
            tokens = [b"_coord", *good[1:place], odd, *good[place + 1 :]]
        case _:
            tokens = [*good[:place], odd, *good[place + 1 :]]
    payload = smith.random.choice((b'{"x":1}', b"{", hostile.octets(smith.random)))
    return Shot("odd subjects", b".".join(tokens), payload, smith.reply(actor.decode()), due="maybe")


def foreign_shard(smith: Gunsmith) -> Shot:
    """A good command, put past the mapping straight onto the subject of a shard that is not its project's."""
    own = shard_of(PROJECT)
    token = smith.random.choice(("cmd", "", "*", ">", f"0{own}", f"+{own}", f"{own}.0", "-1", "16", "99"))
    if smith.random.randrange(2):
        token = str((own + smith.random.randrange(1, SHARDS)) % SHARDS)
    subject = f"_coord.{PROJECT}.{token}.{ACTORS[0]}.task.enqueue"
    return Shot(
        "shards of others", subject.encode(), b'{"title":"Strayed"}', smith.reply(ACTORS[0]), due="maybe"
    )


def reserved(smith: Gunsmith) -> Shot:
    """What only coordctl itself may ask, and the reserved project."""
    subject, payload = smith.random.choice(
        (
            ("coord.fuzz.cmd._ticker.task.expire_lease", b'{"task":"t-1"}'),
            ("coord.fuzz.cmd._ticker.task.claim", b"{}"),
            ("coord.fuzz.cmd.f0.task.expire_lease", b'{"task":"t-1"}'),
            ("coord.fuzz.cmd.f0.task.queue_due", b'{"task":"t-1"}'),
            ("coord.fuzz.cmd.f0.agent.check", b'{"agent":"f0"}'),
            ("coord.fuzz.cmd.f0.handoff.expire", b'{"handoff":"h-1"}'),
            ("coord._system.cmd.f0.setting.set", b'{"key":"max_agents","value":5}'),
            ("coord._system.cmd.f0.setting.set", b'{"key":"max_agents","value":5,"scope":"user"}'),
            ("coord._system.cmd.f0.project.restore", b'{"sequence":1,"reason":"back"}'),
            ("coord._other.cmd.f0.task.claim", b"{}"),
        )
    )
    return Shot("reserved names", subject.encode(), payload, smith.reply(subject.split(".")[3]))


def odd_reply(smith: Gunsmith) -> Shot:
    """An answer to any of these would pass for somebody else's message."""
    actor = smith.random.choice(ACTORS)
    number = smith.random.getrandbits(60)
    reply = smith.random.choice(
        (
            f"_INBOX.{VICTIM}.{number:x}", f"_INBOX.{actor}x.{number:x}", f"coord.fuzz.evt.task.t{number:x}",
            f"coord.fuzz.cmd.{VICTIM}.task.t{number:x}", f"$SYS.REQ.{number:x}", f"$KV.x.{number:x}",
            f"_INBOX.{actor}.*.{number:x}", f"_INBOX.{actor}.{number:x}.>", f"_INBOX.{actor}..{number:x}",
            f"_INBOX.{actor}.{number:x}.", f"_INBOX.{actor}.\x0b{number:x}", f"_INBOX.{actor}{number:x}",
            f".{number:x}", f"_inbox.{actor}.{number:x}", f"_INBOX.{actor}.\x7f{number:x}",
        )
    ).encode()  # fmt: skip
    if not smith.random.randrange(8):
        reply = f"_INBOX.{actor}.{number:x}".encode() + smith.random.choice(hostile.MALFORMED)
    subject = command_subject(PROJECT, actor, smith.random.choice(VERBS))
    payload = smith.random.choice((b"{", b'{"x":1}'))
    return Shot("odd reply subjects", subject.encode(), payload, reply, due="none", forbidden=True)


_LINE = b"NATS/1.0\r\n"


def _one_header(random: Random) -> bytes:
    value = random.choice((
        b"", b" ", b"a b", b"x" * 129, b"x" * 60_000, "\u202e\U0001f600".encode(), b"\xff\xfe", b"\x00",
        b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-00", b"00-zz-zz-zz", b"a\rb", b"a\nb",
    ))  # fmt: skip
    name = random.choice(
        (b"Nats-Msg-Id", b"traceparent", b"Coord-Correlation-Id", b"Coord-Causation-Id", b"Status")
    )
    return name + b": " + value + b"\r\n"


def odd_headers(smith: Gunsmith) -> Shot:
    """Headers with odd values, or far too many of them, or twice the same."""
    one = _one_header(smith.random)
    lines = smith.random.choice((
        one, one * 2, one + _one_header(smith.random), one * 10, one + b"no colon\r\n", b": nameless\r\n",
        b"".join(b"h%d: v\r\n" % number for number in range(2_000)),
    ))  # fmt: skip
    payload = smith.random.choice((b"{", b'{"x":1}', b"[]"))
    verb = smith.random.choice(VERBS)
    return smith.command("odd headers", verb, payload, _LINE + lines + b"\r\n")


def broken_headers(smith: Gunsmith) -> Shot:
    """No headers where the message says that there are some; who cannot read them may drop it."""
    one = _one_header(smith.random)
    block = smith.random.choice((
        _LINE + one, b"NATS/1.0 \xff\xfe\xfd gone\r\n\r\n", b"NATS/1.0 503\r\n\r\n", b"NATS/1.0", b"N",
        b"NATS/1.0 100 Idle Heartbeat\r\n" + one + b"\r\n", b"NATS/9.9\r\n\r\n", b"\r\n\r\n",
        hostile.octets(smith.random),
    ))  # fmt: skip
    shot = smith.command("broken headers", smith.random.choice(VERBS), b'{"x":1}', block)
    return replace(shot, due="maybe")


def odd_read(smith: Gunsmith) -> Shot:
    """A view with parameters that it does not take, or a view that there is not."""
    view = smith.random.choice((*view_names(), "nothing", "x" * 500, hostile.text(smith.random)))
    name = smith.random.choice(
        ("limit", "offset", "min_position", "wait_s", "text", "status", "task", "at", "x")
    )
    raw = smith.random.choice(
        (*hostile.WRONG, hostile.nested(smith.random), hostile.odd_string(smith.random))
    )
    payload = smith.random.choice(
        (b'{"wait_s":0.01,"' + name.encode() + b'":' + raw + b"}", raw, hostile.octets(smith.random))
    )
    subject = b"coord.fuzz.get." + "".join(c for c in view if c.isprintable() and c not in " .*>").encode()
    asked = subject.split(b".")[3] != b""
    return Shot("odd reads", subject, payload, smith.reply("f0"), due="reply" if asked else "none")


def odd_read_reply(smith: Gunsmith) -> Shot:
    shot = odd_reply(smith)
    while shot.reply.startswith(b"_INBOX.") and shot.reply.decode(errors="replace").isprintable():
        shot = odd_reply(smith)  # whose inbox it is cannot be told from a read
    return Shot(
        "reads with odd replies", b"coord.fuzz.get.queue", b"{}", shot.reply, due="none", forbidden=True
    )


def odd_report(smith: Gunsmith) -> Shot:
    shot = odd_read_reply(smith)
    return Shot(
        "reports with odd replies", b"coordctl.report", shot.payload, shot.reply, due="none", forbidden=True
    )


KINDS: Mapping[Callable[[Gunsmith], Shot], int] = {
    random_bytes: 120, truncated: 150, wrong_type: 180, unknown_field: 50, deep: 60, huge_number: 80,
    odd_text: 100, large: 2, refused: 40, wild_project: 10, odd_subject: 70, foreign_shard: 20,
    reserved: 30, odd_reply: 50, odd_headers: 50, broken_headers: 20,
    odd_read: 40, odd_read_reply: 10, odd_report: 10,
}  # fmt: skip
"""How to make each kind, and how often beside the others."""


def shots(seed: int, count: int) -> Iterator[Shot]:
    """So many messages, the same ones for the same seed."""
    smith = Gunsmith(seed)
    for make in smith.random.choices(list(KINDS), list(KINDS.values()), k=count):
        yield make(smith)
