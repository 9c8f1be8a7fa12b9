"""Personas that a project defined stand beside those that are built in."""

from domain.personas import BUILT_IN, DefinePersona
from projections.personas import PERSONAS, PersonaParams, available
from tests.projections.stories import START, Story


def test_a_definition_replaces_the_one_before() -> None:
    story = Story()
    story.do("op", DefinePersona(persona="poet", definition="Writes verse."))
    story.do("ann", DefinePersona(persona="poet", definition="Writes odes.", capabilities=("metre",)))
    (row,) = story.rows(PERSONAS).values()
    assert (row.definition, row.capabilities, row.defined_by) == ("Writes odes.", ("metre",), "ann")
    assert row.defined_at == START


def test_the_built_in_ones_are_listed_too() -> None:
    story = Story()
    story.do("op", DefinePersona(persona="poet", definition="Writes verse."))
    listed = {each.persona: each for each in available(list(story.rows(PERSONAS).values()), PersonaParams())}
    assert set(listed) == {*BUILT_IN, "poet"}
    assert (listed["plot"].built_in, listed["plot"].definition) == (True, BUILT_IN["plot"])
    assert (listed["poet"].built_in, listed["poet"].defined_by) == (False, "op")
