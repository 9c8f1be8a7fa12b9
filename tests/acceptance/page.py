"""A page of documentation whose examples are messages: read, sent through a bare NATS client, and compared.

A `request` block has the subject, the headers and, after an empty line, the payload. A `reply` block is the
answer to the request before it, or to the one with the id that it names; `part` says that it leaves fields
out. What a `subscribe` block names is listened to, and an `event` block must have been heard. Times and
durations are those of another run, so of them only the kind is compared; positions too, and in requests they
become those of this run.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

REPLY_TIMEOUT_S = 20
PART = "part"

_BLOCK = re.compile(r"^```(request|reply|subscribe|event)(?: ([^\n]*))?\n(.*?)^```$", re.M | re.S)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_VARYING_NUMBERS = ("position", "seconds")
_VARYING_HEADERS = ("Coord-Position", "Coord-Previous")
_POSITION_ASKED = re.compile(r'(?<="min_position": )\d+')


class Block(Struct, frozen=True):
    """An example, as it stands on the page."""

    kind: str
    words: tuple[str, ...]
    text: str

    @property
    def subject(self) -> str:
        return self.text.partition("\n")[0]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.text.partition("\n\n")[0].splitlines()[1:]
        return dict(line.split(": ", 1) for line in lines)

    @property
    def payload(self) -> str:
        return self.text.partition("\n\n")[2].strip()


def blocks(path: Path) -> Iterator[Block]:
    """The examples of a page, in order."""
    for found in _BLOCK.finditer(path.read_text()):
        yield Block(found[1], tuple((found[2] or "").split()), found[3])


class Reader:
    """Does what the examples say. `client_of` gives the connection of an actor, or of anybody."""

    def __init__(self, client_of: Callable[[str | None], Client]) -> None:
        self._client_of = client_of
        self._asked: dict[str, asyncio.Task[Msg]] = {}
        self._heard: Subscription | None = None
        self._positions: dict[str, int] = {}

    async def follow(self, block: Block) -> None:
        """Raises AssertionError where the system answers otherwise than the page."""
        match block.kind:
            case "request":
                self._ask(block)
            case "reply":
                await self._compare_reply(block)
            case "subscribe":
                client = self._client_of(None)
                self._heard = await client.subscribe(block.subject)
                await client.flush()
            case "event":
                await self._compare_event(block)

    def _ask(self, block: Block) -> None:
        tokens = block.subject.split(".")
        client = self._client_of(tokens[3] if tokens[2:3] == ["cmd"] else None)
        headers = block.headers
        payload = _POSITION_ASKED.sub(lambda told: str(self._positions[told[0]]), block.payload).encode()
        asking = client.request(block.subject, payload, timeout=REPLY_TIMEOUT_S, headers=headers or None)
        self._asked[headers.get("Nats-Msg-Id", "")] = self._asked["last"] = asyncio.ensure_future(asking)

    async def _compare_reply(self, block: Block) -> None:
        named = next((word for word in block.words if word != PART), "last")
        message = await self._asked[named]
        told, found = json.loads(block.text), json.loads(message.data)
        differ = list(differences(told, found, part=PART in block.words))
        assert not differ, f"{block.text}: {differ}\n{message.data.decode()}"
        if "sequence" in told:
            self._positions[str(told["position"])] = found["position"]

    async def _compare_event(self, block: Block) -> None:
        assert self._heard is not None
        message = await self._heard.next_msg(REPLY_TIMEOUT_S)
        assert message.subject == block.subject
        headers = message.headers or {}
        for name, value in block.headers.items():
            assert headers[name].isdecimal()
            assert name in _VARYING_HEADERS or headers[name] == value, f"{name}: {headers[name]}"
        differ = list(differences(json.loads(block.payload), json.loads(message.data)))
        assert not differ, f"{block.text}: {differ}\n{message.data.decode()}"


def differences(told: Any, found: Any, where: str = "", *, part: bool = False) -> Iterator[str]:
    """In what an answer is another than the one that was told; `part` lets it have more fields."""
    if isinstance(told, dict) and isinstance(found, dict):
        if told.keys() - found.keys() or (found.keys() - told.keys() and not part):
            yield f"{where or 'answer'} has {sorted(found)}"
        for key in told.keys() & found.keys():
            if key in _VARYING_NUMBERS and isinstance(found[key], int | float):
                continue
            yield from differences(told[key], found[key], f"{where}.{key}", part=part)
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for index, (one, other) in enumerate(zip(told, found, strict=True)):
            yield from differences(one, other, f"{where}[{index}]", part=part)
    elif told != found and not (_is_time(told) and _is_time(found)):
        yield f"{where} is {found!r}"


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and _TIME.fullmatch(value) is not None
