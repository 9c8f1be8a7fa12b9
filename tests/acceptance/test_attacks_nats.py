"""Attacks over NATS, each through a real connection of an enrolled identity: all denied, told and counted.

The server counts what it denies in its log, by key, as `coordctl access list` tells; the writer counts what
it refuses in its metrics.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen
from uuid import uuid4

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from domain.catalog import COMMANDS
from domain.errors import CoordError
from services.access.keys import BadCredentials, new_seed
from services.access.registry import Registry
from services.access.roles import MAY, ROLES, Role
from services.access.violations import violations
from services.bus.caller import Answer, Caller
from services.bus.connection import connect
from services.config import address_of, signed
from services.doors.commands import REFUSALS
from services.embedded.reload import reload_users
from services.errors import NotAuthorized, NotPermitted
from services.files import write_private
from services.prove.fuzz_wire import Wire
from services.writer.shards import SHARDS, shard_of
from tests.acceptance.system import System, eventually

P, Q = f"p{uuid4().hex[:8]}", f"q{uuid4().hex[:8]}"
SHARD = shard_of(P)
STREAM = "COORD_EVENTS"
WAIT_S = 10.0

PUBLISHED = {
    "act as another agent": f"coord.{P}.cmd.bob.task.complete",
    "act as the operator": f"coord.{P}.cmd.operator.setting.set",
    "act in another project": f"coord.{Q}.cmd.mallory.task.claim",
    "act for the whole system": "coord._system.cmd.mallory.setting.set",
    "forge an event": f"coord.{P}.evt.task.completed.t1",
    "forge an event of another project": f"coord.{Q}.evt.task.completed.t1",
    "another's command past the mapping": f"_coord.{P}.{SHARD}.bob.task.claim",
    "own command to another's shard": f"_coord.{P}.{(SHARD + 1) % SHARDS}.mallory.task.claim",
    "delete the stream": f"$JS.API.STREAM.DELETE.{STREAM}",
    "purge the stream": f"$JS.API.STREAM.PURGE.{STREAM}",
    "change the stream": f"$JS.API.STREAM.UPDATE.{STREAM}",
    "make a stream that swallows commands": "$JS.API.STREAM.CREATE.MINE",
    "delete an event": f"$JS.API.STREAM.MSG.DELETE.{STREAM}",
    "read the stream directly": f"$JS.API.DIRECT.GET.{STREAM}",
    "make a push consumer": f"$JS.API.CONSUMER.CREATE.{STREAM}.spy",
    "make a durable push consumer": f"$JS.API.CONSUMER.DURABLE.CREATE.{STREAM}.spy",
    "delete a consumer": f"$JS.API.CONSUMER.DELETE.{STREAM}.other",
    "acknowledge for a consumer": f"$JS.ACK.{STREAM}.c.1.1.1.1.1",
    "read another project": f"coord.{Q}.get.queue",
    "list all projects": f"coord.{P}.get.projects",
    "answer in the writer's name": "_INBOX.bob.x.y",
    "ask services for their reports": "coordctl.report",
    "ask the server for its connections": "$SYS.REQ.SERVER.PING.CONNZ",
}
HEARD = {
    "hear everything": (">", ""),
    "read every inbox": ("_INBOX.>", ""),
    "read another's inbox": ("_INBOX.bob.>", ""),
    "read inboxes by a pattern": ("_INBOX.*.*.*", ""),
    "hear commands": ("coord.*.cmd.>", ""),
    "take commands in a queue group": ("coord.*.cmd.>", "writers"),
    "take mapped commands in a queue group": ("_coord.>", "writers"),
    "take reads in the gateway's queue group": ("coord.*.get.*", "coordctl-gateway"),
    "answer reports as a service": ("coordctl.report", ""),
    "answer discovery as a service": ("$SRV.>", ""),
    "hear another project's events": (f"coord.{Q}.evt.>", ""),
    "hear the server's own events": ("$SYS.>", ""),
    "hear JetStream's acknowledgements": ("$JS.ACK.>", ""),
}


class Attack(NamedTuple):
    """One that was denied, and what the attacker was told."""

    name: str
    code: str
    told: str


class Site:
    """A running system on which these identities are enrolled."""

    def __init__(self, system: System) -> None:
        self.data = system.data
        self.address = address_of(system.nats_url)
        self.operator = system.nats_url
        self.http_url = system.state["http_url"]
        self.registry = Registry(self.data)
        for role in ROLES:
            if role != "service":
                self.registry.enroll(f"the-{role}", role, [P])
        for actor in ("mallory", "bob", "gone"):
            self.registry.enroll(actor, "worker", [P])
        self.registry.enroll("roamer", "worker", ["*"])
        reload_users(self.data)

    def url(self, name: str) -> str:
        return signed(self.address, self.registry.seed_path(name))

    def denied(self, name: str) -> int:
        """How often the server says that it denied this identity something."""
        return violations(self.data)[self.registry.find(name).public_key]

    def counted(self, code: str) -> float:
        """How many commands the writer says that it refused with this code."""
        with urlopen(f"{self.http_url}/metrics", timeout=WAIT_S) as answer:  # noqa: S310  # the gateway's own
            families = text_string_to_metric_families(answer.read().decode())
        return sum(
            sample.value
            for family in families
            if family.name == "coordctl_commands"
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels["outcome"] == code
        )

    async def ask(self, name: str, verb: str, project: str = P, **fields: Any) -> Answer:
        command_id = fields.pop("command_id", None)
        async with Caller(self.url(name), project, name) as caller:
            return await caller.ask(verb, fields, command_id=command_id)


@pytest.fixture(scope="module")
def site(system: System) -> Iterator[Site]:
    site = Site(system)
    yield site
    for name in (*(f"the-{role}" for role in ROLES if role != "service"), "mallory", "bob", "roamer"):
        site.registry.revoke(name)
    reload_users(site.data)


def show(attacks: list[Attack]) -> None:
    for attack in attacks:
        print(f"{attack.name:45} {attack.code:22} {attack.told}")  # noqa: T201  # the table is what is asked for


async def refused(asking: Awaitable[object]) -> CoordError:
    with pytest.raises(CoordError) as caught:
        await asyncio.wait_for(asking, WAIT_S)
    return caught.value


def test_what_is_not_permitted_is_denied_at_once_told_and_counted(site: Site) -> None:
    async def story() -> list[Attack]:
        mallory = await connect(site.url("mallory"), "attack", actor="mallory")
        attacks = []
        for name, subject in PUBLISHED.items():
            error = await refused(mallory.request(subject, b"{}", timeout=WAIT_S))
            assert isinstance(error, NotPermitted), name
            attacks.append(Attack(name, error.code, str(error)))
        for name, (subject, queue) in HEARD.items():
            before = mallory.denials.count
            await mallory.subscribe(subject, queue=queue)
            await mallory.flush()
            await mallory.flush()  # the client may send the first ahead of the subscription
            assert mallory.denials.count == before + 1, name
            attacks.append(Attack(name, NotPermitted.code, str(mallory.last_error)))
        await mallory.close()
        return attacks

    before = site.denied("mallory")
    attacks = asyncio.run(story())
    show(attacks)
    assert len(attacks) == len(PUBLISHED) + len(HEARD) >= 30
    assert site.denied("mallory") == before + len(attacks)


def test_an_answer_goes_to_nobody_but_who_asked_and_nothing_is_done(site: Site) -> None:
    replies = ("_INBOX.bob.x.y", f"coord.{P}.cmd.bob.task.claim", f"coord.{P}.evt.task.completed.t1",
               "$JS.API.STREAM.DELETE.COORD_EVENTS", "_INBOX.malloryx.y", "_INBOX.mallory.*")  # fmt: skip

    async def story() -> list[Attack]:
        spy = await connect(site.operator, "spy")
        stray: list[str] = []

        async def note(message: Any) -> None:
            stray.append(message.subject)

        for reply in replies:
            if "*" not in reply and not reply.startswith("coord"):
                await spy.subscribe(reply, cb=note)
        await spy.flush()
        mallory = await connect(site.url("mallory"), "attack", actor="mallory")
        told = await mallory.subscribe(f"_INBOX.mallory.{REFUSALS}")
        attacks = []
        for reply in replies:
            await mallory.publish(f"coord.{P}.cmd.mallory.agent.spawn", b'{"persona":"plot"}', reply=reply)
            error = msgspec.json.decode((await told.next_msg(WAIT_S)).data)["error"]
            attacks.append(Attack(f"have an answer sent to {reply[:22]}", error["code"], error["message"]))
        await spy.flush()
        assert stray == []
        await spy.close()
        await mallory.close()
        return attacks

    before = site.counted("foreign_reply_subject")
    attacks = asyncio.run(story())
    show(attacks)
    assert {attack.code for attack in attacks} == {"foreign_reply_subject"}
    wanted = before + len(attacks)
    eventually(lambda: site.counted("foreign_reply_subject") == wanted, "the writer counts them")


def test_what_is_anothers_in_the_log_stays_anothers(site: Site) -> None:
    async def story() -> list[Attack]:
        await site.ask("the-planner", "task.enqueue", title="One")
        await site.ask("bob", "agent.spawn", persona="plot")
        first = await site.ask("bob", "task.claim", command_id=f"claim-{P}")
        held = first.result["tasks"][0]
        assert (await site.ask("bob", "task.claim", command_id=f"claim-{P}")).result == first.result
        await site.ask("mallory", "agent.spawn", persona="plot")
        stolen = {"task": held["task"], "fence": held["fence"]}
        deeds: dict[str, Callable[[], Awaitable[Answer]]] = {
            "complete with a stolen fence": lambda: site.ask("mallory", "task.complete", **stolen),
            "release with a stolen fence": lambda: site.ask("mallory", "task.release", **stolen),
            "hand off with a stolen fence": lambda: site.ask(
                "mallory", "handoff.initiate", **stolen, to_agent="mallory"
            ),
            "complete with a guessed fence": lambda: site.ask(
                "mallory", "task.complete", task=held["task"], fence=held["fence"] + 1
            ),
        }
        replayed = await site.ask("mallory", "task.claim", command_id=f"claim-{P}")
        assert replayed.result["tasks"] == []  # an id is the actor's own: this was a claim in mallory's name
        attacks = [Attack("replay another's command", "no_task", str(replayed.result))]
        for name, deed in deeds.items():
            error = await refused(deed())
            attacks.append(Attack(name, error.code, str(error)))
        await site.ask("bob", "task.complete", **stolen)
        return attacks

    before = site.counted("stale_fence")
    attacks = asyncio.run(story())
    show(attacks)
    stolen = [attack for attack in attacks if attack.code == "stale_fence"]
    assert len(stolen) == 4
    eventually(lambda: site.counted("stale_fence") == before + len(stolen), "the writer counts them")


def test_who_may_act_in_all_projects_reaches_no_shard_but_the_projects(site: Site) -> None:
    async def story() -> dict[str, Any]:
        nats = await connect(site.url("roamer"), "attack", actor="roamer")
        wrong = f"_coord.{P}.{(SHARD + 1) % SHARDS}.roamer.agent.heartbeat"
        reply = await nats.request(wrong, b"{}", timeout=WAIT_S)
        await nats.close()
        error: dict[str, Any] = msgspec.json.decode(reply.data)["error"]
        return error

    error = asyncio.run(story())
    show([Attack("a command to the wrong writer", error["code"], error["message"])])
    assert error["code"] == "wrong_shard"
    eventually(lambda: site.counted("wrong_shard") >= 1, "the writer counts it")


@pytest.mark.parametrize("role", [role for role in ROLES if role != "service"])
def test_each_role_may_send_its_commands_and_no_other(site: Site, role: Role) -> None:
    """What is let through is told that it is no good command, so nothing is done."""

    async def story() -> dict[str, str]:
        name = f"the-{role}"
        nats = await connect(site.url(name), "attack", actor=name)
        told = {}
        for verb in COMMANDS:
            try:
                reply = await nats.request(f"coord.{P}.cmd.{name}.{verb}", b"[]", timeout=WAIT_S)
                told[verb] = msgspec.json.decode(reply.data)["error"]["code"]
            except NotPermitted as error:
                told[verb] = error.code
        await nats.close()
        return told

    told = asyncio.run(story())
    may = {verb for verb, roles in MAY.items() if role in roles} - {"project.fork"}
    assert told == {verb: "bad_input" if verb in may else "not_permitted" for verb in COMMANDS}


def test_a_revoked_key_is_cut_off_at_once_and_refused_afterwards(site: Site) -> None:
    async def story() -> list[Attack]:
        async with Caller(site.url("gone"), P, "gone") as caller:
            await caller.ask("agent.spawn", {"persona": "plot"})
            waiting = asyncio.create_task(caller.ask("task.claim", {"wait_s": 20}, wait_s=20))
            await asyncio.to_thread(site.registry.revoke, "gone")
            write_private(site.registry.seed_path("gone"), seed.encode())  # whoever stole it still has it
            await asyncio.to_thread(reload_users, site.data)
            cut = await refused(waiting)
            again = await refused(caller.ask("agent.heartbeat"))
        anew = await refused(connect(site.url("gone"), "attack", actor="gone"))
        told = {"wait on when revoked": cut, "ask on when revoked": again, "come again when revoked": anew}
        return [Attack(name, error.code, str(error)) for name, error in told.items()]

    seed = site.registry.seed_path("gone").read_text()
    attacks = asyncio.run(story())
    site.registry.seed_path("gone").unlink()
    show(attacks)
    assert [attack.code for attack in attacks] == ["not_authorized"] * 3
    assert seed.strip() not in str(attacks)


def test_credentials_that_are_none_are_refused_and_never_shown(site: Site, tmp_path: Path) -> None:
    seed = site.registry.seed_path("mallory").read_text().strip()
    files = {
        "an empty seed": b"",
        "a truncated seed": seed[:40].encode(),
        "a seed with another letter": (seed[:20] + ("A" if seed[20] != "A" else "B") + seed[21:]).encode(),
        "an oversized seed": seed.encode() * 10_000,
        "bytes for a seed": b"\xff\xfe\x00" * 20,
        "an account's seed": b"SAAJ4LCF5XQYQJHGGNZBRSJBDGVNBCN4PFCOU3FBJEYRV6VEYPPOZXZM5Y",
    }
    attacks = []
    for name, content in files.items():
        path = tmp_path / "bad.nk"
        path.write_bytes(content)
        error = asyncio.run(refused(connect(signed(site.address, path), "attack")))
        assert isinstance(error, BadCredentials), name
        attacks.append(Attack(name, error.code, str(error)))
    stranger = tmp_path / "stranger.nk"
    write_private(stranger, new_seed().encode())
    before = violations(site.data)
    urls = {
        "a key that nobody enrolled": signed(site.address, stranger),
        "no key": site.address,
        "a password": site.address.replace("nats://", "nats://coordctl:coordctl@"),
    }
    for name, url in urls.items():
        error = asyncio.run(refused(connect(url, "attack")))
        assert isinstance(error, NotAuthorized), name
        attacks.append(Attack(name, error.code, str(error)))
    assert sum(violations(site.data).values()) > sum(before.values())
    show(attacks)
    assert seed[:40] not in str(attacks)


@pytest.mark.parametrize(
    "options",
    [
        {"nkey": "U" * 56, "sig": "A" * 88},
        {"nkey": "U" * 200_000, "sig": "x"},
        {"nkey": None, "sig": ""},
        {"user": "coordctl", "pass": "x" * 4_000},
        {"auth_token": "x"},
        {"jwt": "e30.e30.e30", "sig": "A" * 88},
    ],
)
def test_a_malformed_greeting_gets_nobody_in(site: Site, options: dict[str, Any]) -> None:
    async def story() -> bytes:
        host, port = site.address.removeprefix("nats://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await reader.readline()
        writer.write(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        told = await asyncio.wait_for(reader.read(1_000), WAIT_S)
        writer.close()
        return told

    before = sum(violations(site.data).values())
    told = asyncio.run(story()).decode()
    assert sum(violations(site.data).values()) == before + 1
    show([Attack(f"a greeting with {', '.join(options)}", "not_authorized", told.strip())])
    assert "-ERR" in told
    assert "PONG" not in told


def test_too_large_a_message_ends_the_connection_and_is_told(site: Site) -> None:
    async def story() -> str:
        wire = await Wire.open(site.url("mallory"))
        frame = b"PUB coord.%b.cmd.mallory.agent.spawn 99999999\r\n" % P.encode()
        await wire.send(frame)
        answered = await wire.answers_ping()
        await wire.close()
        return "the connection stands" if answered else "the connection is ended"

    before = site.denied("mallory")
    told = asyncio.run(story())
    show([Attack("a message of 100 MB", "max_payload", told)])
    assert told == "the connection is ended"
    assert site.denied("mallory") == before + 1


def test_every_command_has_its_roles() -> None:
    assert set(MAY) == set(COMMANDS)
    assert all("operator" in roles and "observer" not in roles for roles in MAY.values())
