"""Choosing what an agent should know: what concerns everybody, and what concerns it alone.

What concerns everybody is the same for all who start at one moment, so it is gathered once for them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from msgspec import Struct

from domain.errors import NotFound
from domain.memory import strength
from domain.sessions import SessionRole
from services.landing.params import Item, LandingParams
from services.landing.sources import Asked, Source
from services.recall.words import terms

MAX_TEXT_CHARS = 600
MAX_AGENTS = 50
MAX_CLAIMABLE = 10
MAX_DECISIONS = 20
MAX_FAILURES = 5
MAX_HANDOFFS = 20
MAX_MEMORIES = 15
MAX_PATTERNS = 20
MAX_SPIKES = 20
MAX_STALE = 20
MAX_NEAR_CHARS = 2_000
LEAST_IMPORTANCE = 0.3
LEAST_SHARED_WORDS = 2

_QUEUED = 40
_LOOKED_THROUGH = 200

_OF_ALL: Asked = {
    "settings": ("settings", {"limit": _LOOKED_THROUGH}),
    "agents": ("agents", {"status": ("active", "stale"), "limit": _LOOKED_THROUGH}),
    "counts": ("counts", {}),
    "queued": ("queue", {"status": ("queued",), "limit": _QUEUED}),
    "handoffs": ("handoffs", {"status": ("initiated",), "limit": _LOOKED_THROUGH}),
    "failures": ("failures", {"limit": _LOOKED_THROUGH}),
    "decisions": ("decisions", {"status": ("holds",), "limit": MAX_DECISIONS}),
    "patterns": ("patterns", {"limit": _LOOKED_THROUGH}),
    "memories": (
        "memories",
        {
            "status": ("current",),
            "visibility": ("project", "shared"),
            "importance": LEAST_IMPORTANCE,
            "limit": _LOOKED_THROUGH,
        },
    ),
    "factors": ("factors", {"limit": MAX_SPIKES}),
    "stale": ("stale_documentation", {"limit": MAX_STALE}),
    "spikes": ("spikes", {"limit": _LOOKED_THROUGH}),
}


class Fleet(Struct, frozen=True, kw_only=True):
    """What concerns everybody in a project, at one moment. `personas` are those of its agents, by name.

    Of personas and `handoffs` there may be more than were looked through.
    """

    project: str
    position: int
    at: datetime
    half_life_days: float
    settings: list[Item]
    personas: dict[str, str]
    agents: list[Item]
    tasks: dict[str, int]
    queued: list[Item]
    handoffs: list[Item]
    failures: list[Item]
    decisions: list[Item]
    patterns: list[Item]
    memories: list[Item]
    spikes: list[Item]
    factors: list[Item]
    stale_documentation: list[Item]


class Own(Struct, frozen=True, kw_only=True):
    """Who asks, and what concerns them alone; `near` is the text that tells what their work is about."""

    agent: str | None
    persona: str | None
    role: SessionRole
    session: str | None
    focus: str
    near: str
    task: Item | None
    handoffs: list[Item]
    memories: list[Item]
    claimable: list[Item]


def fleet(source: Source, project: str) -> Fleet:
    """What concerns everybody. Raises what the views do."""
    position, at, rows = source.read(project, _OF_ALL)
    half_life_days = next(
        (float(row["value"]) for row in rows["settings"] if row["key"] == "memory_half_life_days"), 30.0
    )
    strongest = sorted(rows["memories"], key=lambda row: -_strength(row, at, half_life_days))
    used = sorted(rows["patterns"], key=lambda row: (-row["uses"], row["pattern"]))
    spikes = [row for row in rows["spikes"] if row["viable"] is None]
    return Fleet(
        project=project,
        position=position,
        at=at,
        half_life_days=half_life_days,
        settings=[
            _picked(row, "key", "value", "source", "meaning")
            for row in rows["settings"]
            if row["source"] != "built-in" and row["value"] != row["default"]
        ],
        personas={row["agent"]: row["persona"] for row in rows["agents"]},
        agents=[_picked(row, "agent", "persona", "status", "doing") for row in rows["agents"][:MAX_AGENTS]],
        tasks=rows["counts"][0]["tasks"],
        queued=rows["queued"],
        handoffs=rows["handoffs"],
        failures=[failure_of(row) for row in rows["failures"]],
        decisions=[
            _picked(row, "decision", "title", "choice", "context", "decided_by") for row in rows["decisions"]
        ],
        patterns=[
            _picked(row, "pattern", "description", "example", "uses", "average_compliance")
            for row in used[:MAX_PATTERNS]
        ],
        memories=[memory_of(row) for row in strongest[:MAX_MEMORIES]],
        spikes=[_picked(row, "spike", "question", "approach", "initiated_by") for row in spikes[:MAX_SPIKES]],
        factors=rows["factors"],
        stale_documentation=rows["stale"][:MAX_STALE],
    )


def own(source: Source, project: str, params: LandingParams, known: Fleet) -> Own:
    """What concerns one agent alone. Raises NotFound if the session or the task is not there."""
    session = _one(source, project, "session", "sessions", params.session)
    agent = params.agent or (session["agent"] if session else None)
    persona = params.persona or _persona(source, project, agent, known)
    task = params.task or (session["task"] if session else None)
    focus = params.focus if params.focus is not None else (session["focus"] if session else "")
    asked: dict[str, tuple[str, Mapping[str, Any]]] = {}
    if persona is not None:
        asked["fitting"] = ("queue", {"status": ("queued",), "persona": persona, "limit": MAX_CLAIMABLE})
    if agent is not None:
        private = {"status": ("current",), "visibility": ("private",), "agent": agent}
        asked["private"] = ("memories", {**private, "limit": MAX_MEMORIES})
    rows = source.read(project, asked)[2] if asked else {}
    brief = _one(source, project, "task", "queue", task)
    about = (focus, brief["title"], brief["description"]) if brief else (focus,)
    return Own(
        agent=agent,
        persona=persona,
        role=params.role or (session["role"] if session else "worker"),
        session=params.session,
        focus=focus,
        near="\n".join(each for each in about if each)[:MAX_NEAR_CHARS],
        task=brief and _picked(brief, "task", "title", "description", "status", "priority", "holder"),
        handoffs=[_handoff(row) for row in _offered(source, project, known, agent, persona)],
        memories=[memory_of(row) for row in rows.get("private", ())],
        claimable=_claimable([*rows.get("fitting", ()), *known.queued], persona),
    )


def alike_in_words(text: str, failures: Sequence[Item]) -> list[Item]:
    """Failures that share words with a text, for when nobody can tell what it means."""
    asked = set(terms(text).all)
    ranked = []
    for failure in failures:
        told = " ".join(failure[name] for name in ("feature", "approach", "why", "lesson"))
        shared = len(asked & set(terms(told).all))
        if shared >= min(LEAST_SHARED_WORDS, len(asked)) and shared:
            ranked.append((shared, failure))
    ranked.sort(key=lambda each: -each[0])
    return [failure for _, failure in ranked[:MAX_FAILURES]]


def failure_of(row: Mapping[str, Any]) -> Item:
    return _picked(row, "failure", "feature", "approach", "why", "lesson", "task")


def memory_of(row: Mapping[str, Any]) -> Item:
    return _picked(row, "memory", "kind", "text", "importance", "tags", "agent")


def several(first: Iterable[Item], second: Iterable[Item], key: str, limit: int) -> list[Item]:
    """The first ones, then those of the second that are not among them."""
    found: dict[str, Item] = {}
    for row in (*first, *second):
        found.setdefault(row[key], row)
    return [*found.values()][:limit]


def _one(source: Source, project: str, kind: str, view: str, name: str | None) -> Item | None:
    if name is None:
        return None
    _, _, rows = source.read(project, {kind: (view, {"entity": name})})
    if not rows[kind]:
        raise NotFound(kind=kind, id=name)
    return rows[kind][0]


def _persona(source: Source, project: str, agent: str | None, known: Fleet) -> str | None:
    """An agent's persona; None of one that was never spawned."""
    if agent is None or agent in known.personas or len(known.personas) < _LOOKED_THROUGH:
        return known.personas.get(agent or "")
    rows = source.read(project, {"agent": ("agents", {"entity": agent})})[2]["agent"]
    return rows[0]["persona"] if rows else None


def _claimable(rows: Collection[Item], persona: str | None) -> list[Item]:
    """Of queued tasks those that this persona may do, the most urgent first, each once."""
    fitting = {row["task"]: row for row in rows if row["persona"] in (None, persona)}
    ranked = sorted(fitting.values(), key=lambda row: (-row["priority"], row["brief"]))
    return [
        _picked(row, "task", "title", "priority", "persona", "capabilities") for row in ranked[:MAX_CLAIMABLE]
    ]


def _offered(
    source: Source, project: str, known: Fleet, agent: str | None, persona: str | None
) -> list[Item]:
    """The open handoffs to an agent or its persona, the latest first."""
    rows: Iterable[Item] = known.handoffs
    if len(known.handoffs) == _LOOKED_THROUGH:  # there may be more, and some of them for this agent
        latest: Mapping[str, Any] = {"status": ("initiated",), "limit": _LOOKED_THROUGH}
        asked = {name: ("handoffs", {**latest, name: who})
                 for name, who in (("agent", agent), ("persona", persona)) if who is not None}  # fmt: skip
        rows = chain(*source.read(project, asked)[2].values()) if asked else ()
    fitting = {row["handoff"]: row for row in rows if _is_to(row, agent, persona)}
    return sorted(fitting.values(), key=lambda row: row["initiated_at"], reverse=True)[:MAX_HANDOFFS]


def _is_to(row: Item, agent: str | None, persona: str | None) -> bool:
    if row["to_agent"] is not None:
        return bool(row["to_agent"] == agent)
    return persona is not None and row["to_persona"] == persona


def _handoff(row: Item) -> Item:
    context = {name: value for name, value in row["context"].items() if value and name != "data"}
    short = _picked(row, "handoff", "task", "from_agent", "to_agent", "to_persona", "reason", "expires_at")
    return short | {"context": {name: _cut(value) for name, value in context.items()}}


def _strength(row: Item, at: datetime, half_life_days: float) -> float:
    return strength(row["importance"], row["touched_at"], at, half_life_days)


def _picked(row: Mapping[str, Any], *names: str) -> Item:
    """Some columns of a row; texts no longer than anybody reads at a start."""
    return {name: _cut(row[name]) for name in names}


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_TEXT_CHARS:
        return value[: MAX_TEXT_CHARS - 1] + "…"
    if isinstance(value, list | tuple):
        return [_cut(each) for each in value[:MAX_SPIKES]]
    return value
