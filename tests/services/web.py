"""The gateway over HTTP on real services, and a plain client of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct

from services.access.roles import Role
from services.config import Doors
from services.embedded import EmbeddedPostgres
from services.gateway.tokens import OPERATOR_FILE, Tokens
from tests.conftest import running_nats, temporary_data, temporary_database
from tests.services.hosted import hosted_in_a_thread

PATIENCE_S = 60
SERVING = ("writer", "projector", "gateway")


class Reply(Struct):
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """That of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self.text
        code: str = self.json["code"]
        return code


class Web:
    """A client of one gateway, with a project of its own; unless told otherwise, the operator's."""

    def __init__(self, port: int, data: Path) -> None:
        self.data = data
        self.project = f"p{uuid4().hex}"
        self.port = port
        self.tokens = Tokens(data)
        self.operator = (data / OPERATOR_FILE).read_text().strip()

    def token(
        self,
        actor: str = "w1",
        role: Role = "worker",
        projects: Sequence[str] = (),
        life: timedelta = timedelta(hours=1),
    ) -> str:
        return self.tokens.create(actor, role, projects or [self.project], life)[1]

    def get(self, path: str, **more: Any) -> Reply:
        return self.send("GET", path, **more)

    def post(self, verb: str, fields: Any = None, project: str = "", **more: Any) -> Reply:
        """Send a command, as in `task.claim`."""
        body = json.dumps({} if fields is None else fields).encode()
        headers = {"Content-Type": "application/json", **more.pop("headers", {})}
        return self.send(
            "POST",
            f"/api/{project or self.project}/{verb.replace('.', '/')}",
            headers=headers,
            body=body,
            **more,
        )

    def send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Reply:
        connection, answer = self.open(method, path, token=token, headers=headers, body=body)
        try:
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, found, answer.read().decode())
        finally:
            connection.close()

    def open(
        self,
        method: str,
        path: str,
        *,
        token: str | None = "",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """The answer's head, its body still to come. `token` is the operator's if empty, none if None."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        shown = {} if token is None else {"Authorization": f"Bearer {token or self.operator}"}
        connection.request(method, path, body=body, headers={**shown, **(headers or {})})
        return connection, connection.getresponse()


@contextmanager
def serving(
    database_url: str, nats_url: str, data: Path, names: Sequence[str] = SERVING, **more: Any
) -> Iterator[Web]:
    """These services in a thread of this process, and a client."""
    doors = Doors(database_url=database_url, nats_url=nats_url)
    with hosted_in_a_thread(doors, names, data=data, **more) as port:
        yield Web(port, data)


@contextmanager
def alone(server: EmbeddedPostgres) -> Iterator[Web]:
    """The same on a database and a nats-server of their own."""
    with (
        temporary_data() as data,
        running_nats(data) as nats,
        temporary_database(server) as url,
        serving(url, nats.url, data) as web,
    ):
        yield web


class Stream:
    """Server-sent events as they come; each `next` waits for one."""

    def __init__(self, web: Web, path: str, **more: Any) -> None:
        self.connection, self.answer = web.open("GET", path, **more)

    def next(self) -> dict[str, str]:
        """The fields of the next event; empty at the end."""
        fields: dict[str, str] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                return fields
            else:
                fields = {}
        return fields

    def close(self) -> None:
        self.answer.close()
        self.connection.close()
