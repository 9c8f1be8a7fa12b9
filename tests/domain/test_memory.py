"""Memories: stored, superseded, used, shared, and archived when they have faded or are too many."""

import pytest

from domain.errors import InvalidCommand, MemoryPrivate, UnknownMemory
from domain.memory import (
    ArchiveMemories,
    Gain,
    MemoriesArchived,
    MemoriesUsed,
    MemoryShared,
    MemoryStored,
    MemorySuperseded,
    ShareMemory,
    StoreMemory,
    Used,
    UseMemories,
    grown,
    strength,
)
from domain.messages import Data
from domain.settings import SetSetting, SettingChanged
from tests.domain.given import Scenario, at, given

DAY_S = 86_400.0


def stored(scenario: Scenario, text: str = "x", actor: str = "a1", **fields: Data) -> str:
    return scenario.when(actor, StoreMemory(text=text, **fields)).the(MemoryStored).memory


def setting(key: str, value: Data) -> SettingChanged:
    return SettingChanged(scope="project", key=key, new=value)


def test_a_memory_keeps_what_was_said_of_it() -> None:
    scenario = given()
    command = StoreMemory(
        text="The tide turns at noon", kind="fact", importance=0.8, tags=("sea", "sea"), task="t1",
        visibility="shared", session="s1",
    )  # fmt: skip
    memory = scenario.when("a1", command).the(MemoryStored).memory
    scenario.then(
        MemoryStored(
            memory=memory, agent="a1", text="The tide turns at noon", kind="fact", importance=0.8,
            visibility="shared", tags=("sea",), task="t1", session="s1",
        )
    )  # fmt: skip


def test_a_newer_fact_is_shared_with_those_who_had_the_older_one() -> None:
    scenario = given()
    old = stored(scenario, visibility="private")
    scenario.when("a1", ShareMemory(memory=old, to_agent="a2"))
    scenario.when("a1", ShareMemory(memory=old, to_project="other"))
    newer = stored(scenario, actor="a2", visibility="private", supersedes=(old,))
    assert scenario.events[2:] == (
        MemoryShared(memory=newer, to_agent="a1"),
        MemoryShared(memory=newer, to_project="other"),
    )
    scenario.when("a1", ArchiveMemories(memories=(newer,))).then_kinds(MemoriesArchived)
    both = stored(scenario), stored(scenario, visibility="shared")
    scenario.when("a1", ShareMemory(memory=both[0], to_project="other"))
    scenario.when("a1", StoreMemory(text="y", supersedes=both))
    scenario.then_kinds(MemoryStored, MemorySuperseded, MemorySuperseded)


def test_a_newer_fact_takes_the_place_of_older_ones_once() -> None:
    scenario = given()
    one, other = stored(scenario), stored(scenario)
    newer = scenario.when("a2", StoreMemory(text="y", supersedes=(one, other, one))).the(MemoryStored).memory
    assert scenario.events[1:] == (
        MemorySuperseded(memory=one, by=newer),
        MemorySuperseded(memory=other, by=newer),
    )
    scenario.when("a2", StoreMemory(text="z", supersedes=(one,))).rejected(UnknownMemory, memory=one)


def test_each_use_adds_a_part_of_what_is_missing() -> None:
    scenario = given()
    one, other = stored(scenario, importance=0.5), stored(scenario, importance=1.0)
    uses = (Used(memory=one), Used(memory=other, times=3), Used(memory=one))
    gains = (Gain(one, 2, grown(0.5, 2)), Gain(other, 3, 1.0))
    scenario.when("a2", UseMemories(uses=uses)).then(MemoriesUsed(gains=gains))
    assert grown(0.5, 2) == pytest.approx(0.595)
    assert grown(grown(0.5, 1), 1) == pytest.approx(grown(0.5, 2))


def test_half_of_the_strength_is_gone_after_each_half_life() -> None:
    assert strength(0.8, at(0), at(0), 30) == 0.8
    assert strength(0.8, at(0), at(60 * DAY_S), 30) == pytest.approx(0.2)


def test_what_nobody_uses_is_archived_when_it_is_weak_enough() -> None:
    scenario = given(setting("memory_half_life_days", 1.0), setting("memory_archive_below", 0.1))
    weak, strong = stored(scenario, importance=0.2), stored(scenario, importance=0.8)
    scenario.after(DAY_S - 1).then()
    scenario.after(2).then(MemoriesArchived(memories=(weak,), reason="faded"))
    scenario.after(DAY_S).then()
    scenario.when("a1", UseMemories(uses=(Used(memory=strong),)))
    scenario.after(3 * DAY_S).then()
    scenario.after(DAY_S).then(MemoriesArchived(memories=(strong,), reason="faded"))
    scenario.after(100 * DAY_S).then()


def test_a_changed_policy_holds_within_a_day() -> None:
    scenario = given()
    memory = stored(scenario, importance=0.5)
    scenario.after(2 * DAY_S).then()
    scenario.when("operator", SetSetting(key="memory_archive_below", value=0.9))
    scenario.after(DAY_S).then(MemoriesArchived(memories=(memory,), reason="faded"))


def test_nothing_fades_away_where_the_policy_says_so() -> None:
    scenario = given(setting("memory_archive_below", 0))
    stored(scenario, importance=0.0)
    scenario.after(4_000 * DAY_S).then()


def test_at_the_limit_the_weakest_make_room() -> None:
    scenario = given(setting("max_memories", 2))
    weak = stored(scenario, importance=0.1)
    strong = stored(scenario, importance=0.9)
    scenario.when("a1", StoreMemory(text="z", importance=0.05))
    assert scenario.events[1:] == (MemoriesArchived(memories=(weak,), reason="max_memories"),)
    scenario.when("a1", StoreMemory(text="z", supersedes=(strong,))).then_kinds(
        MemoryStored, MemorySuperseded
    )


def test_a_private_memory_is_its_agents_own_until_it_is_shared() -> None:
    scenario = given()
    memory = stored(scenario, visibility="private")
    scenario.when("a2", ArchiveMemories(memories=(memory,))).rejected(MemoryPrivate, agent="a1")
    share = ShareMemory(memory=memory, to_agent="a2")
    scenario.when("a2", share).rejected(MemoryPrivate)
    scenario.when("a1", share).then(MemoryShared(memory=memory, to_agent="a2"))
    scenario.when("a1", share).then()
    scenario.when("a2", UseMemories(uses=(Used(memory=memory),))).then_kinds(MemoriesUsed)


def test_a_memory_is_shared_with_one_other_project_or_agent_at_a_time() -> None:
    scenario = given()
    memory = stored(scenario)
    scenario.when("a1", ShareMemory(memory=memory)).rejected(InvalidCommand)
    scenario.when("a1", ShareMemory(memory=memory, to_project="novel")).rejected(InvalidCommand)
    scenario.when("a1", ShareMemory(memory=memory, to_agent="a2", to_project="x")).rejected(InvalidCommand)
    scenario.when("a1", ShareMemory(memory=memory, to_project="x")).then_kinds(MemoryShared)


def test_what_is_archived_by_hand_is_current_no_more() -> None:
    scenario = given()
    memory = stored(scenario)
    archive = ArchiveMemories(memories=(memory, memory), reason="old")
    scenario.when("a1", archive).then(MemoriesArchived(memories=(memory,), reason="old"))
    scenario.when("a1", archive).rejected(UnknownMemory)
