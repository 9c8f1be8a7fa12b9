"""`coordctl access`: who may do what, by keys for NATS and tokens for HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.access_tokens import token
from cli.context import Context, pass_context
from cli.output import print_json, print_rows, warn
from cli.types import NAME

if TYPE_CHECKING:
    from services.access.identity import Identity

ROLES = ("worker", "planner", "operator", "observer", "service")
COLUMNS = ("name", "role", "projects", "created", "revoked_at", "denied", "public_key")

out_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Where the key goes, instead of into the data directory.",
)  # fmt: skip


@click.group()
def access() -> None:
    """Say who may do what: enroll agents, revoke them, see who there is.

    An identity is a key and a role in some projects. The NATS server knows its public half; the other is in a
    file that COORD_CREDENTIALS names to whoever acts with it.
    """


access.add_command(token)


@access.command()
@click.argument("actor", type=NAME)
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do.")
@click.option(
    "--project", "projects", type=NAME, multiple=True, metavar="NAME",
    help="A project it may do it in; repeatable. [default: the one of COORD_PROJECT]",
)  # fmt: skip
@click.option("--all-projects", is_flag=True, help="In every project there is and will be.")
@out_option
@pass_context
def enroll(
    context: Context, actor: str, role: Any, projects: tuple[str, ...], all_projects: bool, out: Path | None
) -> None:
    """Make a key with which ACTOR, and nobody else, gets in; at once, if coordctl is up.

    The key is written to a file of mode 600, never over another. Give the file to the agent, and set
    COORD_CREDENTIALS to it and COORD_NATS_URL to the server.

    For example: coordctl access enroll a1 --role worker --project novel
    """
    from services.access.registry import Registry

    wanted = ["*"] if all_projects else list(projects) or [context.project]
    identity, path = Registry(context.config().data).enroll(actor, role, wanted, out)
    _told(context, identity, path, f"{identity.name} is enrolled as {role}; its key is in {path}")


@access.command()
@click.argument("name", type=NAME)
@pass_context
def revoke(context: Context, name: str) -> None:
    """Shut an identity out: its connections end at once, and it makes no more.

    For example: coordctl access revoke a1
    """
    from services.access.registry import Registry

    _refuse_in_use(context, name)
    identity = Registry(context.config().data).revoke(name)
    _told(context, identity, None, f"{name} is revoked")


@access.command()
@click.argument("name", type=NAME)
@out_option
@pass_context
def rotate(context: Context, name: str, out: Path | None) -> None:
    """Give an identity another key: the one before is good for nothing from then on.

    The services' own keys are changed while coordctl is down.
    """
    from services.access.registry import Registry

    _refuse_in_use(context, name)
    identity, path = Registry(context.config().data).rotate(name, out)
    _told(context, identity, path, f"{name} has another key; it is in {path}")


@access.command("list")
@click.option("--all", "everyone", is_flag=True, help="Also those that were revoked.")
@pass_context
def list_(context: Context, everyone: bool) -> None:
    """Tell who there is, what each may do where, and how often NATS denied it something."""
    from services.access.registry import Registry
    from services.access.violations import violations

    data = context.config().data
    registry, denied = Registry(data), violations(data)
    found = registry.identities() if everyone else registry.active()
    rows = [_row(each) | {"denied": denied[each.public_key]} for each in found]
    nobody = "There is nobody; `coordctl access enroll` makes an identity."
    print_rows(context, rows, COLUMNS if everyone else [c for c in COLUMNS if c != "revoked_at"], nobody)


@access.command("server-config")
@click.option("--tls", is_flag=True, help="With TLS; the paths of certificate and key are to be changed.")
@pass_context
def server_config(context: Context, tls: bool) -> None:
    """Print the configuration for a nats-server of your own: users, permissions, mapping, JetStream.

    It holds public keys and no secret. Print it anew after each enroll, revoke and rotate, and have the
    server read it again (`nats-server --signal reload`).
    """
    import msgspec

    from services.access import server_config as made
    from services.access.registry import Registry

    registry = Registry(context.config().data)
    registry.make_own()
    config = made.server_config(registry.active(), tls=tls)
    click.echo(msgspec.json.format(msgspec.json.encode(config)).decode())


def _refuse_in_use(context: Context, name: str) -> None:
    """A service whose key is taken away while it works could not come back with another."""
    from services.access.registry import Registry
    from services.embedded.reload import InUse, is_served

    data = context.config().data
    if Registry(data).find(name).role == "service" and is_served(data):
        raise InUse(name=name)


def _told(context: Context, identity: "Identity", path: Path | None, done: str) -> None:
    """Have the server take it over, and say what was done."""
    from services.embedded.reload import reload_users

    config = context.config()
    here = not config.nats_url and reload_users(config.data)
    if context.as_json:
        print_json(_row(identity) | {"credentials": None if path is None else str(path), "in_force": here})
        return
    click.echo(f"{done}.")
    if not here:
        warn(
            "No server of this data directory runs: the embedded one takes it over when it is started, one of"
            " your own when it reads `coordctl access server-config`."
        )


def _row(identity: "Identity") -> dict[str, Any]:
    return {
        "name": identity.name,
        "actor": identity.actor,
        "role": identity.role,
        "projects": list(identity.projects),
        "created": identity.created,
        "revoked_at": identity.revoked_at,
        "public_key": identity.public_key,
    }
