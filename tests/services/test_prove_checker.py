"""The checker passes sound evidence, forks and restores included, and finds damage of every kind."""

import ast
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

import services.prove.checker
from domain.catalog import EVENTS, upcast
from domain.messages import Context, Recorded
from services.log.codec import Codec
from services.prove.checker import Report, check
from services.prove.evidence import Ask, Logged, Plan, Told, ViewRow
from services.prove.selftest import SOUND, selftest
from services.prove.selftest_history import VIEWS, History, sound_history, streamed
from services.prove.selftest_log import command_of, relog
from tests.projections.stories import folded
from tests.services.saga import Saga, random_saga

SEEDS = st.integers(0, 2**32)
quickly = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def checked(history: History) -> Report:
    with TemporaryDirectory() as folder:
        history.write(Path(folder))
        return check(Path(folder))


def violations(report: Report) -> dict[str, list[str]]:
    return {finding.check: finding.violations for finding in report.findings if not finding.ok}


@quickly
@given(seed=SEEDS)
def test_a_sound_session_passes_every_check(seed: int) -> None:
    report = checked(sound_history(seed))
    assert violations(report) == {}
    assert all(finding.examined for finding in report.findings), "a check looked at nothing"


def test_every_kind_of_violation_that_is_planted_is_found_and_told_of() -> None:
    planted = selftest(1)
    assert planted[0].kind == SOUND
    assert [each.kind for each in planted if not each.found] == []
    assert all(each.said for each in planted[1:])
    assert len({each.kind for each in planted}) == len(planted) > 35


def dropped(log: list[Logged], place: int) -> list[Logged]:
    return [*log[:place], *log[place + 1 :]]


def doubled(log: list[Logged], place: int) -> list[Logged]:
    return [*log[: place + 1], *log[place:]]


def swapped(log: list[Logged], place: int) -> list[Logged]:
    """Two events of a project have changed places, numbers and all."""
    one = log[place]
    for other_place, other in enumerate(log):
        if other.project == one.project and command_of(other) != command_of(one):
            log = [*log]
            log[place] = replace(other, position=one.position, sequence=one.sequence)
            log[other_place] = replace(one, position=other.position, sequence=other.sequence)
            return log
    raise LookupError(place)


@quickly
@given(seed=SEEDS, damage=st.sampled_from((dropped, doubled, swapped)))
def test_an_acknowledged_event_that_is_lost_doubled_or_moved_is_found(
    seed: int, damage: Callable[[list[Logged], int], list[Logged]]
) -> None:
    history = sound_history(seed % 5)
    acknowledged = {
        (ask.project, ask.actor, ask.id) for ask, reply in history.exchanges() if "sequence" in reply
    }
    places = [n for n, event in enumerate(history.log) if command_of(event) in acknowledged]
    relog(history, damage(history.log, Random(seed).choice(places)))
    assert not checked(history).ok


@quickly
@given(seed=SEEDS)
def test_forks_restores_and_imported_projects_raise_no_alarm(seed: int) -> None:
    history = from_saga(random_saga(Random(seed), 60, [None, 1], ["a text"]))
    assert violations(checked(history)) == {}


def test_a_fence_of_time_taken_back_may_not_be_given_again() -> None:
    def restored(seed: int) -> History:
        return from_saga(random_saga(Random(seed), 120, [None], ["a text"]))

    for history in map(restored, range(20)):
        places = [
            n
            for n, event in enumerate(history.log)
            if event.topic == "project.restored@1" and event.body["data"]["fence_floor"]
        ]
        if places:
            break
    event = history.log[places[-1]]
    body = {**event.body, "data": {**event.body["data"], "fence_floor": 0}}
    relog(history, [*history.log[: places[-1]], replace(event, body=body), *history.log[places[-1] + 1 :]])
    assert "fences" in violations(checked(history))


def from_saga(saga: Saga) -> History:
    """The log, stream and rows of a saga, of which nobody was told anything."""
    log = [logged(position, recorded) for position, recorded in enumerate(saga.happened, 1)]
    rows = [
        ViewRow(view=view.name, row=msgspec.to_builtins(msgspec.structs.asdict(row)))
        for story in saga.stories.values()
        for view in VIEWS
        for row in folded(view, story.history).values()
    ]
    plan = Plan(seed=0, projects=[*saga.stories], agents=0, tasks={}, finished=False)
    return History({"nobody": []}, log, streamed(log), rows, plan)


def logged(position: int, recorded: Recorded) -> Logged:
    context = Context(
        project=recorded.project, actor=recorded.actor, at=recorded.at, command_id=recorded.command_id
    )
    stored = Codec(EVENTS, upcast).encode(recorded.event, context, recorded.sequence)
    return Logged(
        position=position,
        project=recorded.project,
        sequence=recorded.sequence,
        topic=stored.topic,
        body=msgspec.json.decode(stored.state),
    )


def carried_out(history: History) -> tuple[str, int, int]:
    """A client and the lines of its transcript with a command asked once and carried out."""
    for client, lines in history.said.items():
        once = [line.id for line in lines if isinstance(line, Ask)]
        for n, line in enumerate(lines):
            if isinstance(line, Told) and "sequence" in line.reply and once.count(line.id) == 1:
                asked = next(k for k, each in enumerate(lines) if each.id == line.id)
                return client, asked, n
    raise LookupError


def refusal(code: str, *, retryable: bool) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": "no", "retryable": retryable}}


def with_earlier_attempt(reply: dict[str, Any], *, seconds: float) -> History:
    """A command carried out at its second attempt; the first, this long before or after it, was told this."""
    history = sound_history(0)
    client, asked, told = carried_out(history)
    ask, answer = history.said[client][asked], history.said[client][told]
    assert isinstance(ask, Ask)
    assert isinstance(answer, Told)
    at = ask.at + seconds
    history.said[client] += [
        replace(ask, at=at, attempt=2),
        Told(at=at + 0.001, client=client, id=ask.id, attempt=2, reply=reply),
    ]
    return history


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (refusal("unavailable", retryable=True), -1),
        (refusal("unavailable", retryable=True), 1),
        (refusal("task_not_claimable", retryable=False), -1),
        ({"ok": True, "position": 1, "result": {"tasks": []}}, -1),
    ],
)
def test_another_attempt_may_have_been_refused_before_or_have_found_nobody(
    reply: dict[str, Any], seconds: float
) -> None:
    assert violations(checked(with_earlier_attempt(reply, seconds=seconds))) == {}


@pytest.mark.parametrize(
    "reply",
    [
        refusal("stale_fence", retryable=False),
        {"ok": True, "position": 10, "result": {"unchanged": True}},
    ],
)
def test_what_was_carried_out_is_not_denied_to_whom_asks_afterwards(reply: dict[str, Any]) -> None:
    assert [*violations(checked(with_earlier_attempt(reply, seconds=1)))] == ["once"]


def test_what_nobody_answered_may_have_happened_or_not() -> None:
    history = sound_history(0)
    client, asked, told = carried_out(history)
    del history.said[client][told]
    ask = history.said[client][asked]
    assert isinstance(ask, Ask)
    history.said[client].append(replace(ask, id="never-arrived"))
    assert violations(checked(history)) == {}


def test_two_services_may_answer_a_question_if_they_say_the_same_or_one_is_away() -> None:
    history = sound_history(0)
    client, _, told = carried_out(history)
    answer = history.said[client][told]
    assert isinstance(answer, Told)
    away = replace(answer, reply=refusal("unavailable", retryable=True))
    history.said[client] += [answer, away]
    assert violations(checked(history)) == {}
    history.said[client].append(replace(answer, reply={**answer.reply, "result": {}}))
    assert [*violations(checked(history))] == ["once"]


def test_evidence_that_is_missing_or_torn_is_a_violation(tmp_path: Path) -> None:
    history = sound_history(0)
    history.write(tmp_path)
    (tmp_path / "stream.jsonl").rename(tmp_path / "elsewhere")
    assert "stream.jsonl" in violations(check(tmp_path))["evidence"][0]
    (tmp_path / "elsewhere").rename(tmp_path / "stream.jsonl")
    with (tmp_path / "log.jsonl").open("ab") as log:
        log.write(b'{"position": 12')
    assert [*violations(check(tmp_path))] == ["evidence"]


def test_the_checker_imports_nothing_of_what_it_checks() -> None:
    folder = Path(services.prove.checker.__file__).parent
    allowed = {*sys.stdlib_module_names, "msgspec"}
    for path in (*folder.glob("*.py"), folder.parent / "evidence.py"):
        for name in imported(ast.parse(path.read_text())):
            own = name == "services.prove.evidence" or name.startswith("services.prove.checker.")
            assert own or name.partition(".")[0] in allowed, f"{path.name} imports {name}"


def imported(module: ast.Module) -> Sequence[str]:
    names = []
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            names.append(node.module or "")
    return names
