"""The wire protocol as strangers meet it: the page's examples, all traffic, another language, discovery."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from nats.aio.client import Client
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from domain.catalog import COMMANDS, EVENTS
from services.protocol.asyncapi import document
from services.protocol.refusals import refusals
from services.protocol.schemas import alone, schemas
from services.reading.reads import view_names
from services.roster import SERVICES
from tests.acceptance.conftest import Shell
from tests.acceptance.page import Reader, blocks
from tests.acceptance.system import ROOT, System, eventually
from tests.acceptance.traffic import Schemas, Traffic

PAGE = ROOT / "docs" / "protocol.md"
WORKER = ROOT / "examples" / "typescript"
BOOK = "book"
"""The project of the page. Ids of handoffs come from the project's name and the command's id."""

ROLES = {"alice": "worker", "bob": "worker", "paula": "planner", "rita": "observer"}
READS_ALONE = "rita"

NODE = 20
INSTALL_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
WORK_WAIT_S = 60
EVERYBODY = 5
FORGED = "coord.main.evt.task.claimed.forged"


@asynccontextmanager
async def connected(system: System, seed: Path, actor: str) -> AsyncIterator[Client]:
    """A client as anybody has it, which signs with the key in a file."""
    client = await nats.connect(
        address(system), nkeys_seed=str(seed), inbox_prefix=f"_INBOX.{actor}".encode()
    )
    try:
        yield client
    finally:
        await client.close()


def address(system: System) -> str:
    return str(system.state["nats_url"]).partition("?")[0]


def operator_seed(system: System) -> Path:
    return Path(system.state["credentials"])


def test_every_example_on_the_page_is_as_it_says(shell: Shell, tmp_path: Path) -> None:
    for actor, role in ROLES.items():
        shell("access", "enroll", actor, "--role", role, "--project", BOOK, "--out", str(tmp_path / actor))

    async def story() -> int:
        followed = 0
        async with AsyncExitStack() as stack:
            clients = {
                actor: await stack.enter_async_context(connected(shell.system, tmp_path / actor, actor))
                for actor in ROLES
            }
            reader = Reader(lambda actor: clients[actor or READS_ALONE])
            for block in blocks(PAGE):
                await reader.follow(block)
                followed += 1
        return followed

    try:
        assert asyncio.run(story()) > 30
    finally:
        for actor in ROLES:
            shell("access", "revoke", actor)


def test_the_page_names_every_code_and_every_view() -> None:
    words = set(re.findall(r"`([a-z_]+)`", PAGE.read_text()))
    assert refusals().keys() - words == set()
    assert set(view_names()) - words == set()


def test_all_that_travels_is_as_the_schemas_say(shell: Shell) -> None:
    async def story() -> Traffic:
        async with connected(shell.system, operator_seed(shell.system), "boss") as client:
            traffic = Traffic(client, shell.project)
            await traffic.listen()
            session = await everything(traffic)
            among = {"task": {"task": "t1"}, "session_audit": session, "session_history": session}
            for view in view_names():
                await traffic.read(view, **among.get(view, {}))
            await mistakes(traffic)
            fork = f"{shell.project[:20]}-fork"
            await traffic.command("project.fork", {"origin": shell.project, "sequence": 3}, project=fork)
            await traffic.command("project.restore", {"sequence": 3, "reason": "to see"})
            return traffic

    traffic = asyncio.run(story())
    traffic.check(Schemas())
    among = schemas()
    for verb, fields in traffic.requests:
        if verb in COMMANDS and (verb, fields) not in MISTAKEN:
            Draft202012Validator(alone(COMMANDS[verb].__name__, among)).validate(fields)
    done = {label for label, answer in traffic.answers if answer["ok"]}
    assert done == {*COMMANDS, *(f"get {view}" for view in view_names())}
    told = {event for event, _, _ in traffic.events}
    assert told <= EVENTS.keys()
    assert len(told) > 25, told


MISTAKEN: list[tuple[str, dict[str, Any]]] = [
    ("task.claim", {"wait_s": "long"}),
    ("task.claim", {"nobody": 1}),
    ("task.complete", {"task": ".", "fence": 1}),
]


async def mistakes(traffic: Traffic) -> None:
    """Refusals of all kinds are answers too."""
    for verb, fields in MISTAKEN:
        assert (await traffic.command(verb, fields, "w1"))["error"]["code"] == "bad_input"
    for verb, fields, code in (
        ("task.sing", {}, "unknown_verb"),
        ("task.retry", {"task": "none"}, "unknown_task"),
        ("task.complete", {"task": "t1", "fence": 9}, "stale_fence"),
        ("agent.spawn", {"persona": "nobody"}, "unknown_persona"),
        ("task.enqueue", {"id": "x", "title": "x", "depends_on": ["none"]}, "unknown_dependency"),
    ):
        assert (await traffic.command(verb, fields, "w1"))["error"]["code"] == code
    for view, code in (("weather", "unknown_view"), ("task", "bad_input")):
        assert (await traffic.read(view))["error"]["code"] == code


async def everything(traffic: Traffic) -> dict[str, str]:
    """Every command but those that turn a project, carried out."""

    async def ask(verb: str, actor: str = "boss", **fields: Any) -> Any:
        answer = await traffic.command(verb, fields, actor)
        assert answer["ok"], f"{verb}: {answer}"
        return answer["result"]

    await ask("persona.define", persona="poet", definition="Rhymes.", capabilities=["rhyme"])
    await ask("setting.set", key="default_lease_s", value=200)
    await ask("setting.unset", key="default_lease_s")
    for worker in ("w1", "w2"):
        await ask("agent.spawn", worker, persona="poet", capabilities=["rhyme"], metadata={"by": "hand"})
    await ask("task.import", tasks=[{"id": "old", "title": "Old", "status": "completed"}, *OPEN])
    await ask("task.import", tasks=[{"id": "older", "title": "Older", "status": "cancelled"}])
    await ask(
        "task.plan", tasks=[{"local": "a", "title": "A"}, {"local": "b", "title": "B", "depends_on": ["a"]}]
    )
    await ask("task.enqueue", id="t1", title="T1", links=[{"kind": "see", "to": "old"}], input=[1, None])
    await ask("task.enqueue", id="t2", title="T2", depends_on=["t1"], retry={"attempts": 1})
    await ask("task.reprioritize", task="t1", priority=9)
    lease = (await ask("task.claim", "w1", wait_s=5))["tasks"][0]
    held = {"task": "t1", "fence": lease["fence"]}
    assert lease["task"] == "t1"
    await ask("task.claim", "w1", task="t1")
    await ask("task.start", "w1", **held)
    await ask("task.start", "w1", **held)
    await ask("task.progress", "w1", **held, percent=10, note="begun")
    await ask("agent.heartbeat", "w1")
    context = {"goal": "a poem", "data": {"x": 1}}
    offer = {**held, "to_agent": "w2", "context": context}
    refused = await ask("handoff.initiate", "w1", **offer)
    await ask("handoff.reject", "w2", handoff=refused["handoff"], reason="no time")
    taken = await ask("handoff.initiate", "w1", **offer)
    moved = await ask("handoff.accept", "w2", handoff=taken["handoff"])
    await ask("handoff.complete", "w2", handoff=taken["handoff"])
    await ask("task.release", "w2", task="t1", fence=moved["fence"], reason="later")
    await ask("task.claim", "w2", task="t1")
    await ask("task.requeue", task="t1", reason="not now")
    (again,) = (await ask("task.claim", "w2", task="t1"))["tasks"]
    await ask("task.complete", "w2", task="t1", fence=again["fence"], result={"lines": 12})
    (last,) = (await ask("task.claim", "w2", task="t2"))["tasks"]
    await ask("task.fail", "w2", task="t2", fence=last["fence"], error="no rhyme")
    await ask("task.retry", task="t2")
    await ask("task.cancel", task="t2", reason="no use")
    many = (await ask("task.claim", "w2", count=2))["tasks"]
    await ask("task.complete_many", "w2", tasks=[{"task": t["task"], "fence": t["fence"]} for t in many])
    await knowing(ask)
    session = (await ask("session.start", "w1", role="planner", focus="a poem"))["id"]
    await ask("task.enqueue", "w1", id="t3", title="T3", session=session)
    await ask("session.end", "w1", session=session)
    await ask("agent.leave", "w2", reason="enough")
    await ask("agent.spawn", agent="w3", persona="poet")
    await ask("agent.terminate", agent="w3", reason="enough")
    return {"session": session}


async def knowing(ask: Callable[..., Awaitable[Any]]) -> None:
    """Every command about what is learned and known."""
    await ask(
        "failure.record", "w2", feature="poem", approach="by ear", why="deaf", lesson="count", task="t2"
    )
    estimate = await ask("estimate.record", "w2", feature="poem", sessions=2, complexity=3)
    await ask("estimate.close", "w2", estimate=estimate["id"], sessions=3, files_created=1)
    await ask("retro.record", "w2", feature="poem", surprises="many", spike_accuracy=50)
    await ask("bookmark.set", bookmark="done", sequence=3, note="all of it")
    await ask("bookmark.set", bookmark="gone", sequence=3)
    await ask("bookmark.remove", bookmark="gone")
    spike = (await ask("spike.initiate", "w2", question="Does it scan?", task="t2"))["id"]
    await ask("spike.conclude", "w2", spike=spike, result="It does", viable=True, minutes=5)
    first = (await ask("decision.record", "w2", title="Metre", choice="Iambs", alternatives=["None"]))["id"]
    await ask("decision.record", "w2", title="Metre", choice="None", supersedes=first)
    await ask("pattern.define", "w2", pattern="rhyme", description="Ends that sound alike")
    await ask("pattern.use", "w2", pattern="rhyme", file="poem.txt", compliance=80)
    await ask("complexity.snapshot", "w2", files=[{"file": "poem.txt", "score": 2.5, "lines": 12}])
    await ask("docs.cache", "w2", library="metre", content="Count the feet.", days=1)
    await ask("action.record", "w2", actions=[{"action": "read", "seconds": 0.2}, {"action": "count"}])
    fact = (await ask("memory.store", "w2", text="A poem has lines", kind="fact", tags=["form"]))["id"]
    newer = (await ask("memory.store", "w2", text="A poem has verses", supersedes=[fact]))["id"]
    await ask("memory.use", "w1", uses=[{"memory": newer, "times": 2}])
    await ask("memory.share", "w2", memory=newer, to_project="elsewhere")
    await ask("memory.archive", "w2", memories=[newer], reason="known by now")


OPEN = [{"id": "new", "title": "New"}]
PLAN = [{"local": "a", "title": "A"}, {"local": "b", "title": "B", "depends_on": ["a"]}]


def test_services_answer_discovery_as_nats_has_it(shell: Shell) -> None:
    shell("task", "add", "To be counted")
    shell.run("task", "cancel", "none")

    async def story() -> tuple[list[Any], Any, Any, list[Any]]:
        async with connected(shell.system, operator_seed(shell.system), "boss") as client:
            pings = await answers(client, "$SRV.PING", EVERYBODY)
            (info,) = await answers(client, "$SRV.INFO.coordctl-gateway", 1)
            mine = next(ping for ping in pings if ping["name"] == "coordctl-writer")
            (stats,) = await answers(client, f"$SRV.STATS.coordctl-writer.{mine['id']}", 1)
            forged = await client.subscribe(FORGED)
            await client.publish("$SRV.STATS", b"", reply=FORGED)
            everybody = await answers(client, "$SRV.STATS", EVERYBODY)
            assert forged.pending_msgs == 0, "an answer to discovery would pass for an event"
            return pings, info, stats, everybody

    pings, info, stats, everybody = asyncio.run(story())
    names = {f"coordctl-{service}" for service in SERVICES}
    assert {ping["name"] for ping in pings} == {each["name"] for each in everybody} == names
    assert len({ping["id"] for ping in pings}) == EVERYBODY
    for ping in pings:
        assert ping["type"] == ServicePing.from_dict(ping).type
    assert info["type"] == ServiceInfo.from_dict(info).type
    subjects = {endpoint["subject"] for endpoint in info["endpoints"]}
    assert subjects == {f"coord.*.get.{view}" for view in view_names()}
    read = ServiceStats.from_dict(stats)
    assert stats["type"] == read.type
    used = {endpoint.subject.removeprefix("coord.*.cmd.*."): endpoint for endpoint in read.endpoints}
    assert used.keys() == COMMANDS.keys()
    assert used["task.enqueue"].num_requests >= 1
    assert used["task.enqueue"].average_processing_time > 0
    assert used["task.cancel"].num_errors >= 1
    assert (used["task.cancel"].data or {})["outcomes"]["unknown_task"] >= 1


async def answers(client: Client, subject: str, wanted: int) -> list[Any]:
    """Those of all services that answer."""
    inbox = client.new_inbox()
    heard = await client.subscribe(inbox)
    await client.publish(subject, b"", reply=inbox)
    return [json.loads((await heard.next_msg(STOP_TIMEOUT_S)).data) for _ in range(wanted)]


@pytest.fixture(scope="module")
def node() -> str:
    """Node.js, if it is here and new enough."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs Node.js")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < NODE:
        pytest.skip(f"needs Node.js {NODE} or later; this is {version.strip()}")
    return found


@pytest.fixture(scope="module")
def installed(node: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worker in a folder of its own, with what it needs and with AsyncAPI's own schemas."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("npm")
    shutil.copy(WORKER / "worker.ts", folder)
    package = json.loads((WORKER / "package.json").read_text())
    package["dependencies"]["@asyncapi/specs"] = "^6.8.0"
    (folder / "package.json").write_text(json.dumps(package))
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", "--prefer-offline"],
        cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm cannot install here: {done.stderr[-500:]}")
    return folder


def test_the_document_is_asyncapi_as_its_makers_check_it(installed: Path) -> None:
    official = installed / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0.json"
    wrong = Draft7Validator(json.loads(official.read_text())).iter_errors(document("1.2.3"))
    assert [error.message for error in wrong] == []


def test_a_worker_in_typescript_takes_tasks_and_completes_them(
    node: str, installed: Path, shell: Shell, tmp_path: Path
) -> None:
    shell("task", "add", "Write act one", "--id", "t1")
    shell("task", "add", "Write the last act of all", "--id", "t2", "--after", "t1")
    worker = start(node, installed, shell, "tess", "worker", tmp_path)
    try:
        eventually(lambda: is_done(worker, shell), "both are completed", WORK_WAIT_S)
        worker.terminate()
        output, _ = worker.communicate(timeout=STOP_TIMEOUT_S)
        assert (worker.returncode, output) == (0, "")
        assert "told to stop" in shell("events")
    finally:
        worker.kill()
        worker.wait()
        shell("access", "revoke", "tess")


def test_a_worker_in_typescript_that_may_not_work_says_so_and_ends(
    node: str, installed: Path, shell: Shell, tmp_path: Path
) -> None:
    worker = start(node, installed, shell, "olga", "observer", tmp_path)
    try:
        output, _ = worker.communicate(timeout=STOP_TIMEOUT_S)
        assert worker.returncode == 1
        assert "Permissions Violation" in output
    finally:
        worker.kill()
        worker.wait()
        shell("access", "revoke", "olga")


def start(
    node: str, installed: Path, shell: Shell, actor: str, role: str, folder: Path
) -> subprocess.Popen[str]:
    """The worker as its user starts it, with a key of its own."""
    shell("access", "enroll", actor, "--role", role, "--out", str(folder / actor))
    environ = {
        **os.environ, "COORD_NATS_URL": address(shell.system), "COORD_CREDENTIALS": str(folder / actor),
        "COORD_PROJECT": shell.project,
    }  # fmt: skip
    return subprocess.Popen(
        [node, "--import", "tsx", "worker.ts", actor, "writing"],
        cwd=installed, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def is_done(worker: subprocess.Popen[str], shell: Shell) -> bool:
    """Whether all is completed; a worker that has ended says why."""
    assert worker.poll() is None, worker.communicate()
    rows = shell.json("task", "list", "--status", "completed")
    return {row["task"]: row["result"] for row in rows} == {"t1": {"words": 3}, "t2": {"words": 6}}
