"""The embedded server told of other identities while it runs: who is new gets in, who is revoked is cut off.

Rewrites the users in the server's configuration, and signals the server; touches nothing else.
"""

import http.client
import json
import signal
import time
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]  # psutil ships no types

from domain.errors import CoordError
from services import processes
from services.access.registry import Registry
from services.access.users import users_of
from services.embedded.nats import HEALTH_TIMEOUT_S, Authorization, read_settings, write_settings

RELOAD_TIMEOUT_S = 10.0
POLL_S = 0.01


class NotReloaded(CoordError):
    code = "not_reloaded"
    says = (
        "nats-server has not taken over the identities within {timeout_s:g} s: whom it lets in is as before;"
        " see {log}, then `coordctl down` and `coordctl up`."
    )
    retryable = True


class InUse(CoordError):
    code = "in_use"
    says = "{name} works with its key now; `coordctl down` first, and its key is made anew at the next start."


def is_served(data: Path) -> bool:
    """Whether a server runs on this data directory."""
    return _server(data) is not None


def reload_users(data: Path) -> bool:
    """Have the server of a data directory let in the identities that are recorded now, and nobody else.

    Returns when it does so, and has ended the connections of others; false if no server runs there, which
    then reads them when it is started. Raises NotReloaded.
    """
    path = data.absolute() / "nats" / "server.conf"
    server = _server(data)
    if server is None:
        return False
    settings = read_settings(path)
    before = _loaded_at(settings.http)
    users = users_of(Registry(data).active())
    write_settings(path, msgspec.structs.replace(settings, authorization=Authorization(users)))
    try:
        server.send_signal(signal.SIGHUP)
    except psutil.NoSuchProcess:
        return False
    deadline = time.monotonic() + RELOAD_TIMEOUT_S
    while (now := _loaded_at(settings.http)) is None or now == before:
        if time.monotonic() > deadline:
            raise NotReloaded(timeout_s=RELOAD_TIMEOUT_S, log=str(data / "nats" / "server.log"))
        time.sleep(POLL_S)
    return True


def _server(data: Path) -> psutil.Process | None:
    path = str(data.absolute() / "nats" / "server.conf")
    return next((p for p in processes.named("nats-server") if path in processes.arguments(p)), None)


def _loaded_at(monitor: str) -> str | None:
    """When the server has read its configuration; None if it does not answer."""
    connection = http.client.HTTPConnection(monitor, timeout=HEALTH_TIMEOUT_S)
    try:
        connection.request("GET", "/varz")
        return str(json.loads(connection.getresponse().read())["config_load_time"])
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
    finally:
        connection.close()
