"""`coordctl openapi`: the document that describes the HTTP API."""

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the HTTP API, which the gateway has at /api/openapi.json too.

    For example: coordctl openapi > openapi.json
    """
    from cli.output import print_json
    from services.gateway.openapi import document

    print_json(document())
