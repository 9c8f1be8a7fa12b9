"""The protocol as files: the AsyncAPI document, and a JSON Schema for each message.

Touches the folder it is given.
"""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from domain.catalog import COMMANDS, EVENTS
from services.protocol.asyncapi import document
from services.protocol.refusals import refusals
from services.protocol.schemas import (
    Schema,
    alone,
    answer_name,
    error_name,
    event_name,
    reply_name,
    schemas,
)
from services.reading.reads import view_names, view_params

ASYNCAPI_FILE = "asyncapi.json"
SCHEMAS_FOLDER = "schemas"


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document of this coordctl."""
    return document(version("coordctl"))


def schema_files() -> Mapping[str, Schema]:
    """Each message's schema by its path below the folder of schemas."""
    among = schemas()
    return {f"{path}.json": alone(name, among) for path, name in _messages()}


def write_asyncapi(folder: Path) -> Path:
    """Write the document into a folder, which is made if need be."""
    path = folder / ASYNCAPI_FILE
    _write(path, asyncapi())
    return path


def write_schemas(folder: Path) -> Path:
    """Write a file for each message below a folder, which is made if need be."""
    for path, schema in schema_files().items():
        _write(folder / SCHEMAS_FOLDER / path, schema)
    return folder / SCHEMAS_FOLDER


def _messages() -> Iterator[tuple[str, str]]:
    for command, kind in COMMANDS.items():
        yield f"commands/{command}", kind.__name__
        yield f"replies/{command}", reply_name(command)
    for event in EVENTS:
        yield f"events/{event}", event_name(event)
    for view in view_names():
        yield f"views/{view}", view_params(view).__name__
        yield f"rows/{view}", answer_name(view)
    for code in refusals():
        yield f"errors/{code}", error_name(code)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
