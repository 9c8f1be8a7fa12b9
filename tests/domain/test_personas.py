"""Personas: nineteen are built in with a charter each; a project defines more."""

from domain.agents import SpawnAgent
from domain.errors import PersonaExists, TaskDoesNotFit, UnknownPersona
from domain.personas import BUILT_IN, DefinePersona, PersonaDefined
from domain.tasks.commands import ClaimTask, EnqueueTask
from domain.tasks.events import TaskClaimed, TaskEnqueued
from tests.domain.given import agent, given, task

NAMES = (
    "planner research character plot world_building dialogue writing editing feedback analytics publishing "
    "versioning consistency timeline location culture map lore coordination"
)


def test_nineteen_personas_are_built_in_each_with_a_one_line_charter() -> None:
    assert list(BUILT_IN) == NAMES.split()
    assert len(set(BUILT_IN.values())) == 19
    for name, charter in BUILT_IN.items():
        assert charter.endswith("."), name
        assert "\n" not in charter, name


def test_agents_of_every_built_in_persona_can_be_spawned() -> None:
    fleet = given()
    for name in BUILT_IN:
        fleet.when(f"a-{name}", SpawnAgent(persona=name))
        assert fleet.refusal is None


def test_a_project_defines_a_persona_and_changes_it() -> None:
    scenario = given().when("operator", DefinePersona(persona="poet", definition="Rhymes."))
    scenario.then(PersonaDefined(persona="poet", definition="Rhymes."))
    scenario.when(
        "operator", DefinePersona(persona="poet", definition="Scans.", capabilities=("metre",))
    ).then(PersonaDefined(persona="poet", definition="Scans.", capabilities=("metre",)))


def test_defining_a_persona_again_as_it_is_changes_nothing() -> None:
    poet = DefinePersona(persona="poet", definition="Rhymes.", capabilities=("metre", "rhyme"))
    same = DefinePersona(persona="poet", definition="Rhymes.", capabilities=("rhyme", "metre"))
    given(("operator", poet)).when("operator", same).then()


def test_a_built_in_persona_cannot_be_redefined() -> None:
    given().when("operator", DefinePersona(persona="plot", definition="Mine.")).rejected(
        PersonaExists, persona="plot"
    )


def test_a_task_names_a_persona_that_exists() -> None:
    given().when("planner", EnqueueTask(title="Sonnet", persona="poet")).rejected(
        UnknownPersona, persona="poet"
    )
    given(("operator", DefinePersona(persona="poet", definition="Rhymes."))).when(
        "planner", EnqueueTask(title="Sonnet", persona="poet")
    ).then_kinds(TaskEnqueued)


def test_agents_have_the_capabilities_of_their_persona_and_lose_them_with_it() -> None:
    poet = DefinePersona(persona="poet", definition="Rhymes.", capabilities=("metre",))
    scenario = given(
        ("operator", poet),
        agent("a1", "poet"),
        task("t1", capabilities=("metre",)),
        task("t2", capabilities=("metre",)),
    )
    scenario.when("a1", ClaimTask(task="t1")).then_kinds(TaskClaimed)
    scenario.when("operator", DefinePersona(persona="poet", definition="Rhymes."))
    scenario.when("a1", ClaimTask(task="t2")).rejected(TaskDoesNotFit, needs="capability metre")
