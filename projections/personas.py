"""Personas: those that a project defined, listed beside the built-in ones."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from domain.messages import Recorded
from domain.personas import BUILT_IN, PersonaDefined
from projections.framework import Projection, Row, on
from projections.views import Page, Search, View


class PersonaRow(Row, frozen=True, kw_only=True):
    """A persona as the project defined it last."""

    persona: str
    definition: str
    capabilities: tuple[str, ...]
    defined_by: str
    defined_at: datetime


class AvailablePersona(Struct, frozen=True, kw_only=True):
    """A persona that agents of the project may have."""

    persona: str
    definition: str
    capabilities: tuple[str, ...] = ()
    built_in: bool = False
    defined_by: str | None = None
    defined_at: datetime | None = None


class PersonaParams(Page, frozen=True, kw_only=True):
    entity: str | None = None
    persona: str | None = None
    text: Search | None = None


def defined(_: PersonaRow | None, event: PersonaDefined, recorded: Recorded) -> PersonaRow:
    return PersonaRow(
        project=recorded.project,
        persona=event.persona,
        definition=event.definition,
        capabilities=event.capabilities,
        defined_by=recorded.actor,
        defined_at=recorded.at,
    )


def available(rows: Sequence[PersonaRow], _: PersonaParams) -> list[AvailablePersona]:
    """The built-in personas and the project's own."""
    return [
        *(
            AvailablePersona(persona=name, definition=charter, built_in=True)
            for name, charter in BUILT_IN.items()
        ),
        *(
            AvailablePersona(
                persona=row.persona,
                definition=row.definition,
                capabilities=row.capabilities,
                defined_by=row.defined_by,
                defined_at=row.defined_at,
            )
            for row in rows
        ),
    ]


PERSONAS = Projection(
    name="personas", version=1, row=PersonaRow, key=("persona",), folds=(on(PersonaDefined, defined),)
)

PERSONAS_VIEW = View(
    projection=PERSONAS,
    params=PersonaParams,
    order=("persona",),
    compares={"entity": ("persona",)},
    searches=("persona", "definition"),
    merges=available,
)
