"""The way into a session: from arguments, and the environment, to a client that can be entered."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from coord.bus import Bus, credentials_in, seed_of
from coord.client import Client
from coord.errors import NotConfigured
from coord.sending import OnConflict

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def connect(
    url: str | None = None,
    *,
    project: str | None = None,
    agent: str | None = None,
    persona: str | None = None,
    credentials: str | Path | None = None,
    capabilities: Iterable[str] = (),
    platform: str = "",
    stay: bool = False,
    outbox: str | Path | None = None,
    on_conflict: OnConflict | None = None,
    traceparent: str | None = None,
    advice: bool = True,
) -> Client:
    """A session, as in `async with connect(…) as me`; not connected before it is entered.

    What is not given is read from COORD_NATS_URL, COORD_PROJECT, COORD_AGENT, COORD_PERSONA and
    COORD_CREDENTIALS (the path of an nkey seed file). With a `persona` the agent is spawned, and ended with
    the session if it was not there before, unless it is to `stay`. With an `outbox`, a file's path, commands
    wait there while the bus is away. `traceparent`, or the variable TRACEPARENT, names the span that commands
    belong to which are in no other. Without `advice`, what failed before is not looked up. Raises
    NotConfigured.
    """
    url = url or _told("COORD_NATS_URL", "url")
    project = project or _told("COORD_PROJECT", "project")
    agent = agent or _told("COORD_AGENT", "agent")
    credentials = credentials or os.environ.get("COORD_CREDENTIALS") or credentials_in(url)
    for kind, name in (("project", project), ("agent", agent)):
        if not _NAME.fullmatch(name):
            raise NotConfigured(f"{name!r} cannot name the {kind}: take 1 to 64 letters, digits, _ or -.")
    return Client(
        Bus(url, agent, seed_of(credentials) if credentials else None),
        project,
        agent,
        persona or os.environ.get("COORD_PERSONA") or None,
        capabilities=tuple(capabilities),
        platform=platform,
        stay=stay,
        outbox=Path(outbox) if outbox is not None else None,
        on_conflict=on_conflict,
        traceparent=traceparent or os.environ.get("TRACEPARENT"),
        advice=advice,
    )


def _told(variable: str, argument: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise NotConfigured(f"connect(…) needs {argument}=…, or the variable {variable}.")
    return value
