"""Everything that travels on a real NATS server, held to the schemas of the protocol."""

import asyncio
import json
from collections.abc import Mapping
from functools import cached_property
from itertools import count
from typing import Any

from jsonschema import Draft202012Validator
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.protocol.schemas import EVENT_HEADERS, alone, answer_name, event_name, reply_name, schemas

REPLY_TIMEOUT_S = 20
ASKED = "_INBOX.{actor}.traffic.{number}"
"""Where this test's own answers go."""


class Schemas:
    """Checks messages by the names of their schemas."""

    @cached_property
    def _among(self) -> dict[str, dict[str, Any]]:
        return schemas()

    def __init__(self) -> None:
        self._validators: dict[str, Draft202012Validator] = {}

    def check(self, name: str, message: Any) -> None:
        """Raises ValidationError."""
        if name not in self._validators:
            self._validators[name] = Draft202012Validator(alone(name, self._among))
        self._validators[name].validate(message)


class Traffic:
    """Asks in a project, hears all that is sent there, and keeps it to be checked."""

    def __init__(self, client: Client, project: str) -> None:
        self._client = client
        self._project = project
        self._numbers = count()
        self._asked: dict[str, tuple[str, asyncio.Future[Any]]] = {}
        self.requests: list[tuple[str, Any]] = []
        self.answers: list[tuple[str, Any]] = []
        self.events: list[tuple[str, Mapping[str, str], Any]] = []

    async def listen(self) -> None:
        await self._client.subscribe(">", cb=self._hear)
        await self._client.flush()

    async def command(
        self, verb: str, fields: dict[str, Any], actor: str = "boss", project: str | None = None
    ) -> Any:
        """The answer, whether it is a result or an error."""
        self.requests.append((verb, fields))
        return await self._ask(f"coord.{project or self._project}.cmd.{actor}.{verb}", verb, fields, actor)

    async def read(self, view: str, **params: Any) -> Any:
        """The answer of a view."""
        return await self._ask(f"coord.{self._project}.get.{view}", f"get {view}", params, "boss")

    async def _ask(self, subject: str, label: str, payload: Any, actor: str) -> Any:
        number = next(self._numbers)
        reply = ASKED.format(actor=actor, number=number)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[reply] = label, answered
        headers = {"Nats-Msg-Id": f"traffic-{number}"}
        await self._client.publish(subject, json.dumps(payload).encode(), reply=reply, headers=headers)
        return await asyncio.wait_for(answered, REPLY_TIMEOUT_S)

    async def _hear(self, message: Msg) -> None:
        tokens = message.subject.split(".")
        if message.subject in self._asked:
            label, answered = self._asked[message.subject]
            answer = json.loads(message.data)
            self.answers.append((label, answer))
            answered.set_result(answer)
        elif tokens[:3] == ["coord", self._project, "evt"]:
            event = ".".join(tokens[3:5])
            self.events.append((event, message.headers or {}, json.loads(message.data)))

    def check(self, known: Schemas) -> None:
        """Every message as the protocol has it. Raises ValidationError."""
        for label, answer in self.answers:
            if not answer["ok"]:
                known.check("error", answer)
            elif label.startswith("get "):
                known.check(answer_name(label.removeprefix("get ")), answer)
            else:
                known.check(reply_name(label), answer)
        for event, headers, body in self.events:
            known.check(event_name(event), body)
            known.check(EVENT_HEADERS, dict(headers))
