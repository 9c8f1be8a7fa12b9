"""Where coordctl keeps its data and finds its servers.

The environment is read here and nowhere else, from the mapping that the caller hands in. A running `up`
writes down its doors in the data directory; everyone else finds them through `resolve`.
"""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

import msgspec
from msgspec import Struct
from platformdirs import user_data_path

from domain.errors import CoordError
from services import processes
from services.files import write_private

ROOT_DATA = Path("/var/lib/coordctl")
STATE_FILE = "state.json"
CREDENTIALS = "credentials"
"""The folder of the seeds, and the part of a NATS URL that names one."""

MAX_PORT = 65_535
SWITCH = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
MAX_MONITORED_SERVERS = 10
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
STREAM_REPLICAS = (1, 3, 5)
"""How many servers may keep the stream: even numbers bear no more losses than the odd ones before them."""

_PASSWORD = re.compile(r":[^/]*@")


class NotRunning(CoordError):
    code = "not_running"
    says = (
        "No coordctl is running on {data}; run `coordctl up` or set COORD_DATABASE_URL and COORD_NATS_URL "
        "to servers of your own."
    )


class StateUnreadable(CoordError):
    code = "state_unreadable"
    says = "{path} cannot be read ({why}); use the account that ran `coordctl up`, or another data directory."


class InvalidConfig(CoordError):
    code = "invalid_config"
    says = "{variable} must be {expected}; {given!r} is not."


class _Private(Struct, frozen=True):
    """URLs carry passwords, so what holds them never shows its fields in a log or a traceback."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Config(_Private, frozen=True, kw_only=True):
    """What the operator chose; None means: not chosen."""

    data: Path
    database_url: str | None = None
    nats_url: str | None = None
    http_port: int | None = None
    stream_replicas: int = 1
    credentials: Path | None = None
    nats_monitor_urls: tuple[str, ...] = ()
    """Where the nats-servers' own monitoring answers, as in `http://nats:8222`."""
    traces: bool = False
    traceparent: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str], data: Path | None = None) -> Self:
        """The configuration of these variables; `data`, when given, goes before COORD_DATA."""
        chosen = data or (Path(environ["COORD_DATA"]) if environ.get("COORD_DATA") else default_data())
        return cls(
            data=chosen.absolute(),
            database_url=environ.get("COORD_DATABASE_URL") or None,
            nats_url=environ.get("COORD_NATS_URL") or None,
            http_port=_port(environ.get("COORD_HTTP_PORT") or None),
            credentials=Path(environ["COORD_CREDENTIALS"]) if environ.get("COORD_CREDENTIALS") else None,
            stream_replicas=_replicas(environ.get("COORD_STREAM_REPLICAS") or "1"),
            nats_monitor_urls=_monitors(environ.get("COORD_NATS_MONITOR_URL") or ""),
            traces=_traces(environ),
            traceparent=environ.get("TRACEPARENT") or None,
        )


class State(_Private, frozen=True, kw_only=True):
    """What a running `up` wrote down: who it is, its doors, and its services by name and pid."""

    pid: int
    created: float
    database_url: str
    nats_url: str
    credentials: str | None = None
    http_url: str | None = None
    services: dict[str, int] = {}
    started_at: datetime

    @classmethod
    def load(cls, data: Path) -> Self | None:
        """The state last saved in this data directory; None if there is none."""
        path = data / STATE_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise StateUnreadable(path=str(path), why=str(error)) from error

    @property
    def nats_door(self) -> str:
        """The NATS URL with the local operator's credentials, for `connect`."""
        return self.nats_url if self.credentials is None else signed(self.nats_url, Path(self.credentials))

    def save(self, data: Path) -> None:
        """Write the state for everyone else to find, readable by its owner only."""
        write_private(data / STATE_FILE, msgspec.json.format(msgspec.json.encode(self)))

    @staticmethod
    def remove(data: Path) -> None:
        (data / STATE_FILE).unlink(missing_ok=True)

    def is_running(self) -> bool:
        """Whether the supervisor that wrote this still lives."""
        return processes.is_alive(self.pid, self.created)


class Doors(_Private, frozen=True, kw_only=True):
    """Where to knock. `nats_url` may name several servers of a cluster, and the credentials; see `signed`."""

    database_url: str
    nats_url: str
    http_url: str | None = None
    stream_replicas: int = 1
    traces: bool = False


def default_data() -> Path:
    """The data directory of an operator who chose none."""
    return ROOT_DATA if os.geteuid() == 0 else user_data_path("coordctl")


def resolve(config: Config) -> Doors:
    """The doors to use: what the environment names first, then those of the running `up`."""
    http_url = f"http://127.0.0.1:{config.http_port}" if config.http_port else None
    if config.database_url and config.nats_url:
        return Doors(
            database_url=config.database_url,
            nats_url=nats_door(config, config.nats_url),
            http_url=http_url,
            stream_replicas=config.stream_replicas,
            traces=config.traces,
        )
    state = State.load(config.data)
    if state is None or not state.is_running():
        raise NotRunning(data=str(config.data))
    return Doors(
        database_url=config.database_url or state.database_url,
        nats_url=nats_door(config, config.nats_url or state.nats_url),
        http_url=state.http_url or http_url,
        stream_replicas=config.stream_replicas,
        traces=config.traces,
    )


def resolve_nats(config: Config) -> str:
    """The NATS URL alone, for those who only send commands. Raises NotRunning."""
    return nats_door(config, config.nats_url) if config.nats_url else resolve(config).nats_url


def nats_door(config: Config, nats_url: str, name: str = "operator") -> str:
    """The URL with the credentials that were chosen, or else, if it has no login, those of this name."""
    own = config.data / CREDENTIALS / f"{name}.nk"
    if config.credentials is not None:
        return signed(nats_url, config.credentials)
    return signed(nats_url, own) if not has_login(nats_url) and own.exists() else nats_url


def signed(nats_url: str, credentials: Path) -> str:
    """The URL that also names the file of the seed to sign with."""
    first, comma, rest = nats_url.partition(",")
    return f"{first.partition('?')[0]}?{CREDENTIALS}={quote(str(credentials.absolute()))}{comma}{rest}"


def address_of(nats_url: str) -> str:
    """The URL without the credentials, as programs of others know it."""
    first, comma, rest = nats_url.partition(",")
    return first.partition("?")[0] + comma + rest


def credentials_of(nats_url: str) -> Path | None:
    """The file that `signed` has named."""
    named = parse_qs(urlsplit(nats_url.partition(",")[0]).query).get(CREDENTIALS)
    return Path(named[0]) if named else None


def has_login(nats_url: str) -> bool:
    """Whether it says who knocks: by a login, or by credentials."""
    return "@" in nats_url or credentials_of(nats_url) is not None


def servers(nats_url: str) -> list[str]:
    """The servers that a NATS URL names, which commas separate; clients use any that answers."""
    return [server.partition("?")[0].strip() for server in nats_url.split(",") if server.strip()]


def without_password(url: str) -> str:
    """A URL of one server or several as it may be shown."""
    return _PASSWORD.sub("@", url)


def _monitors(text: str) -> tuple[str, ...]:
    urls = tuple(servers(text))
    expected = "addresses as in http://host:8222, separated by commas"
    if len(urls) > MAX_MONITORED_SERVERS:
        most = f"at most {MAX_MONITORED_SERVERS} {expected}"
        raise InvalidConfig(variable="COORD_NATS_MONITOR_URL", expected=most, given=str(len(urls)))
    for url in urls:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise InvalidConfig(variable="COORD_NATS_MONITOR_URL", expected=expected, given=url)
    return urls


def _replicas(text: str) -> int:
    if text not in map(str, STREAM_REPLICAS):
        raise InvalidConfig(variable="COORD_STREAM_REPLICAS", expected="1, 3 or 5", given=text)
    return int(text)


def _traces(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's spans are to be made: as told, or if it is told where they are to go."""
    told = (environ.get("COORD_OTEL") or "").lower()
    if told and told not in SWITCH:
        raise InvalidConfig(variable="COORD_OTEL", expected="on or off", given=told)
    if (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    ):
        return False
    return SWITCH[told] if told else any(environ.get(name) for name in ENDPOINTS)


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PORT:
        raise InvalidConfig(variable="COORD_HTTP_PORT", expected=f"a port from 1 to {MAX_PORT}", given=text)
    return int(text)
