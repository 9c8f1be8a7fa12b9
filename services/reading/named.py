"""Named queries of read models over the rows of one project, wherever those are: it may share a past."""

from collections.abc import Mapping
from typing import Any

from psycopg.sql import Composable

from projections.framework import Projection
from services.projector.layers import NO_LAYERS, parts_of, read_layers, union
from services.projector.tables import Connection
from services.projector.tracking import tracked
from services.reading.listing import query, served

Item = dict[str, Any]


def parts_for(connection: Connection, projection: Projection[Any], project: str) -> list[Composable]:
    """Where the rows of a project are that was forked or restored; of any other, nowhere but in the table."""
    layers = read_layers(connection)
    if layers.under(project, record=projection.record) is None:
        return []
    standing = tracked(connection, [projection.name]).get(projection.name)
    known = layers.until(standing.position) if standing else NO_LAYERS
    return parts_of(served(projection), known, project)


def named(
    connection: Connection,
    projection: Projection[Any],
    name: str,
    project: str,
    parameters: Mapping[str, Any],
) -> list[Item]:
    """The result of a named query over the rows of one project."""
    parts = parts_for(connection, projection, project)
    source = union(parts) if parts else None
    return query(connection, projection, name, {"project": project, **parameters}, source)
