"""A landing context as text: the most useful first, whole entries, within a number of tokens. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from msgspec import Struct

from services.landing.gathering import Fleet, Own
from services.landing.params import Item
from services.landing.tokens import tokens

AT_A_TIME = 3
"""So many entries of each section are told before any section has more."""


class Section(Struct, frozen=True):
    """What is told together: entries, the most useful first, under a title."""

    name: str
    title: str
    entries: Sequence[str]


class Told(Struct, frozen=True):
    """The text, its tokens, and how many entries of which section it has no room for."""

    text: str
    tokens: int
    left_out: dict[str, int]


def tell(
    known: Fleet, mine: Own, failures: Sequence[Item], memories: Sequence[Item], missing: Sequence[str],
    budget: int,
) -> Told:  # fmt: skip
    """The prompt, of at most `budget` tokens."""
    who = mine.agent or "a new agent"
    persona = f" ({mine.persona})" if mine.persona else ""
    when = f"{known.at:%Y-%m-%d %H:%M} UTC"
    head = f"You are {who}{persona}, {mine.role} in project {known.project}, as of {when}."
    sections = [*_sections(known, mine, failures, memories)]
    return fit(head, sections, [f"Not known: {each}." for each in missing], budget)


def fit(head: str, sections: Sequence[Section], tail: Sequence[str], budget: int) -> Told:
    """As many entries as there is room for, in rounds, so that no section takes the room of all others."""
    everything = {section.name: len(section.entries) for section in sections if section.entries}
    spent = sum(map(_cost, (head, *tail, _left_out(everything))))
    taken = dict.fromkeys(everything, 0)
    full: set[str] = set()
    for turn in count():
        waiting = [each for each in sections if each.name in taken and each.name not in full]
        waiting = [each for each in waiting if len(each.entries) > turn * AT_A_TIME]
        if not waiting:
            break
        for section in waiting:
            for entry in section.entries[turn * AT_A_TIME : (turn + 1) * AT_A_TIME]:
                price = _cost(entry) + (0 if taken[section.name] else 1 + _cost(section.title))
                if spent + price > budget:
                    full.add(section.name)
                    break
                spent += price
                taken[section.name] += 1
    lines = [head]
    for section in sections:
        if taken.get(section.name):
            lines += ["", section.title, *section.entries[: taken[section.name]]]
    left_out = {
        name: everything[name] - number for name, number in taken.items() if number < everything[name]
    }
    if left_out or tail:
        lines += ["", *tail, *([_left_out(left_out)] if left_out else [])]
    text = "\n".join(lines)
    return Told(text, tokens(text), left_out)


def _cost(line: str) -> int:
    return tokens(line) + 1


def _left_out(numbers: Mapping[str, int]) -> str:
    return "Left out for lack of room: " + ", ".join(f"{n} {name}" for name, n in numbers.items()) + "."


def _sections(
    known: Fleet, mine: Own, failures: Sequence[Item], memories: Sequence[Item]
) -> Iterator[Section]:
    """In the order of their use to whoever begins."""
    yield Section("focus", "Focus:", [mine.focus] if mine.focus else [])
    yield Section("task", "Your task:", [_task(mine.task)] if mine.task else [])
    yield Section("handoffs", "Offered to you:", [*map(_handoff, mine.handoffs)])
    yield Section("failures", "What failed before:", [*map(_failure, failures)])
    yield Section("decisions", "Decisions that hold:", [*map(_decision, known.decisions)])
    yield Section("patterns", "Patterns to follow:", [*map(_pattern, known.patterns)])
    yield Section("memories", "Remembered:", [f"- {row['text']} ({row['memory']})" for row in memories])
    counts = ", ".join(f"{number} {status}" for status, number in known.tasks.items())
    yield Section("tasks", "Tasks:", [counts] if counts else [])
    yield Section("claimable", "Ready for you to claim:", [*map(_claimable, mine.claimable)])
    others = [row for row in known.agents if row["agent"] != mine.agent]
    yield Section("agents", "Other agents:", [*map(_agent, others)])
    changed = [f"- {row['key']} = {row['value']}" for row in known.settings]
    yield Section("settings", "Settings that are not the usual ones:", changed)
    open_spikes = [f"- {row['question']} ({row['spike']}, {row['initiated_by']})" for row in known.spikes]
    yield Section("spikes", "Questions being tried:", open_spikes)
    yield Section("factors", "How estimates turned out:", [*map(_factor, known.factors)])
    stale = [
        f"- {row['library']} {row['release']} {row['topic']}".rstrip() for row in known.stale_documentation
    ]
    yield Section("stale documentation", "Documentation that is out of date:", stale)


def _task(row: Item) -> str:
    description = f"\n{row['description']}" if row["description"] else ""
    return f"{row['task']} ({row['status']}): {row['title']}{description}"


def _handoff(row: Item) -> str:
    context = "; ".join(
        f"{name.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}"
        for name, value in row["context"].items()
    )
    told = ". ".join(each for each in (row["reason"], context) if each)
    return f"- {row['handoff']}: task {row['task']} from {row['from_agent']}. {told}".rstrip(". ")


def _failure(row: Item) -> str:
    lesson = f" Lesson: {row['lesson']}" if row["lesson"] else ""
    why = f": {row['why']}" if row["why"] else ""
    return f"- {row['feature']}: {row['approach']} failed{why}.{lesson}"


def _decision(row: Item) -> str:
    why = f" Because: {row['context']}" if row["context"] else ""
    return f"- {row['title']}: {row['choice']} ({row['decision']}).{why}"


def _pattern(row: Item) -> str:
    kept = row["average_compliance"]
    share = "" if kept is None else f" (kept to by {kept:.0f}%)"
    return f"- {row['pattern']}: {row['description']}{share}"


def _claimable(row: Item) -> str:
    needs = f", needs {', '.join(row['capabilities'])}" if row["capabilities"] else ""
    return f"- {row['task']} (priority {row['priority']}{needs}): {row['title']}"


def _agent(row: Item) -> str:
    doing = f" does {row['doing']}" if row["doing"] else ""
    stale = ", stale" if row["status"] == "stale" else ""
    return f"- {row['agent']} ({row['persona']}{stale}){doing}"


def _factor(row: Item) -> str:
    of = "all" if row["basis"] == "all" else f"{row['basis']} {row['of']}"
    spread = "" if row["spread"] is None else f", spread {row['spread']:.2f}"
    return f"- {of}: {row['factor']:.2f} times as long as estimated ({row['estimates']} of them{spread})"
