"""`coordctl console`: where the web console is, and a way in for a browser."""

from typing import TYPE_CHECKING

import click

from cli.context import Context, pass_context
from cli.output import print_json, warn
from domain.errors import CoordError

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 10
DEFAULT = "main"
"""Whoever names no other project is shown which there are."""


class NoGateway(CoordError):
    code = "no_gateway"
    says = "The gateway does not let a browser in: {why}. See `coordctl status`."


@click.command()
@click.option("--open", "opens", is_flag=True, help="Open it in this machine's browser.")
@click.option("--bare", is_flag=True, help="Only the address, which asks for a token.")
@pass_context
def console(context: Context, opens: bool, bare: bool) -> None:
    """Print the address of the web console, with which a browser is logged in once, within a minute.

    It acts as the operator of the data directory. Others log in with a token of their own, which `coordctl
    access token create` makes: of an observer, who can only look, or of an operator.

    For example: coordctl --project novel console --open
    """
    from services.config import resolve
    from services.gateway.tokens import OPERATOR_FILE

    config = context.config()
    url = resolve(config).http_url
    if url is None:
        raise NoGateway(why="no address of it is known; set COORD_HTTP_PORT")
    address = f"{url}/console" if context.project == DEFAULT else f"{url}/console/{context.project}"
    if not bare:
        address += f"#code={_code(url, config.data / OPERATOR_FILE)}"
    if context.as_json:
        print_json({"url": address})
    else:
        click.echo(address)
    if opens and click.launch(address) != 0:
        warn("No browser could be opened; paste the address into one.")


def _code(url: str, operator_file: "Path") -> str:
    """A code for one login, in exchange for the operator's token. Raises NoGateway."""
    import json
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    try:
        token = operator_file.read_text().strip()
        place = urlsplit(url)
        connection = HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_S)
        connection.request("POST", "/console/codes", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        told = json.loads(answer.read())
    except (OSError, HTTPException, ValueError) as error:
        raise NoGateway(why=str(error)) from error
    if answer.status != 200:
        raise NoGateway(why=told.get("detail", f"it answered {answer.status}"))
    return str(told["code"])
