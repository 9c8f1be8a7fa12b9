"""Personas: the roles an agent can have. Nineteen are built in; a project may define more."""

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta as Constraint
from msgspec import Struct

from domain.errors import PersonaExists
from domain.messages import Command, Context, Event, Key, Name, Text

if TYPE_CHECKING:
    from domain.ledger import Ledger

BUILT_IN: dict[str, str] = {
    "planner": "Breaks a goal into tasks with dependencies and keeps the plan true.",
    "research": "Finds out what is so, and where it says so.",
    "character": "Knows every character: wants, fears, voice and change.",
    "plot": "Shapes what happens, in which order, and why it must.",
    "world_building": "Invents the rules of the world and sees that they hold.",
    "dialogue": "Writes what people say and what they leave unsaid.",
    "writing": "Turns outlines into prose.",
    "editing": "Makes what is written clearer, shorter and right.",
    "feedback": "Reads as a reader would and says what worked.",
    "analytics": "Measures progress, pace and quality, and reports the figures.",
    "publishing": "Prepares the finished work for those who receive it.",
    "versioning": "Keeps drafts apart, named and recoverable.",
    "consistency": "Finds where two parts of the work contradict each other.",
    "timeline": "Keeps the order and dates of events straight.",
    "location": "Describes places and keeps them the same each time.",
    "culture": "Gives peoples their customs, beliefs and manners.",
    "map": "Draws where things are and how far apart.",
    "lore": "Keeps the history, myths and secrets of the world.",
    "coordination": "Watches the fleet, unblocks it and settles conflicts.",
}
"""Name and charter of each persona that every project has."""


class DefinePersona(Command, frozen=True, kw_only=True):
    """Add a persona to the project, or change one that the project defined."""

    name: ClassVar[str] = "persona.define"

    persona: Name
    definition: Text
    capabilities: Annotated[tuple[Key, ...], Constraint(max_length=32)] = ()


class PersonaDefined(Event, frozen=True, kw_only=True):
    name: ClassVar[str] = "persona.defined"

    persona: str
    definition: str
    capabilities: tuple[str, ...] = ()

    @property
    def entity(self) -> str:
        return self.persona


class Persona(Struct, frozen=True):
    definition: str
    capabilities: frozenset[str] = frozenset()


def decide(ledger: "Ledger", command: DefinePersona, _context: Context) -> tuple[Event, ...]:
    if command.persona in BUILT_IN:
        raise PersonaExists(persona=command.persona)
    if ledger.personas.get(command.persona) == _persona(command):
        return ()
    return (
        PersonaDefined(
            persona=command.persona, definition=command.definition, capabilities=command.capabilities
        ),
    )


def evolve(ledger: "Ledger", event: PersonaDefined) -> None:
    ledger.personas[event.persona] = _persona(event)


def _persona(source: DefinePersona | PersonaDefined) -> Persona:
    return Persona(source.definition, frozenset(source.capabilities))
