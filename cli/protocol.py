"""`coordctl protocol`: how others talk to coordctl over NATS, as documents that programs read."""

from pathlib import Path

import click

from cli.output import print_json

ASYNCAPI, SCHEMAS = "asyncapi", "schemas"


@click.command()
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write files into DIR: asyncapi.json, and a JSON Schema for each message below schemas.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice([ASYNCAPI, SCHEMAS]),
    help="Only this. [default: asyncapi; with --out both]",
)
def protocol(out: Path | None, kind: str | None) -> None:
    """Print the wire protocol as an AsyncAPI 3.0 document, or as JSON Schemas.

    Both are made from the types that coordctl itself reads and writes. No running system is needed.

    For example: coordctl protocol --out protocol
    """
    from services.protocol import files, schemas

    if out is None:
        wanted = schemas.together(schemas.schemas()) if kind == SCHEMAS else files.asyncapi()
        print_json(wanted)
        return
    written = []
    if kind in (None, ASYNCAPI):
        written.append(files.write_asyncapi(out))
    if kind in (None, SCHEMAS):
        written.append(files.write_schemas(out))
    for path in written:
        click.echo(f"Wrote {path}.")
