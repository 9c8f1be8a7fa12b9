"""Attacks over HTTP, each through a real connection: all denied, told clearly, counted, and nothing shown.

What is let in beside them says that it is the attack that is denied, and not everything.
"""

import ast
import inspect
import logging
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from domain.catalog import COMMANDS
from services.access.roles import MAY, Role
from services.bus.wire import MAX_PAYLOAD_BYTES
from services.embedded import EmbeddedPostgres
from services.gateway import tokens as tokens_module
from services.gateway.denials import PublicWithoutTokens
from services.gateway.tokens import Tokens, opened
from tests.conftest import running_nats, temporary_data, temporary_database
from tests.services.web import Reply, Web, serving

JSON = {"Content-Type": "application/json"}


class Attack(NamedTuple):
    name: str
    reply: Reply
    status: int
    code: str


def check(attacks: Sequence[Attack]) -> None:
    """Print the table; every one was denied as it should be."""
    lines = [
        f"{name:45}  {reply.status}  {reply.code:18}  {reply.json['detail']}" for name, reply, _, _ in attacks
    ]
    sys.stdout.write("\n".join(["", *(line[:150] for line in lines), ""]))
    told = [(attack.name, attack.reply.status, attack.reply.code) for attack in attacks]
    assert told == [(attack.name, attack.status, attack.code) for attack in attacks]


def denied(web: Web) -> dict[str, float]:
    """How many were refused, by code, as the gateway counts."""
    families = text_string_to_metric_families(web.get("/metrics").text)
    samples = [
        sample for family in families if family.name == "coordctl_http_refused" for sample in family.samples
    ]
    return {sample.labels["code"]: sample.value for sample in samples if sample.name.endswith("_total")}


@pytest.fixture(scope="module")
def gateway(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    with (
        temporary_data() as data,
        running_nats(data) as nats,
        temporary_database(postgres_server) as url,
        serving(url, nats.url, data, ["writer", "projector", "gateway"]) as web,
    ):
        yield web


@pytest.fixture
def web(gateway: Web) -> Web:
    return Web(gateway.port, gateway.data)


def test_whoever_shows_no_token_that_holds_gets_nowhere(web: Web) -> None:
    queue = f"/api/{web.project}/queue"
    good, revoked = web.token(), web.token()
    expired = web.token(life=timedelta(seconds=-1))
    web.tokens.revoke(revoked.split("_")[1])
    other_secret = good[:-1] + ("A" if good[-1] != "A" else "B")
    assert web.get(queue, token=good).status == 200
    shown = {
        "no token": None, "a wrong secret": other_secret, "an unknown id": "coord_" + "0" * 12 + good[18:],
        "an empty token": " ", "a truncated token": good[:30], "a token with a tail": good + "x",
        "a NATS seed for a token": "SUAJ4LCF5XQYQJHGGNZBRSJBDGVNBCN4PFCOU3FBJEYRV6VEYPPOZXZM5Y",
        "the hash for a token": f"coord_{good[6:18]}_{web.tokens.all()[-1].digest[:43]}",
        "an oversized token": "coord_" + "a" * 8_000,
    }  # fmt: skip
    attacks = [
        Attack(name, web.get(queue, token=token), 401, "unauthenticated") for name, token in shown.items()
    ]
    basic = web.get(queue, token=None, headers={"Authorization": "Basic YTpi"})
    attacks.append(Attack("a password", basic, 401, "unauthenticated"))
    attacks.append(Attack("an expired token", web.get(queue, token=expired), 401, "token_expired"))
    attacks.append(Attack("a revoked token", web.get(queue, token=revoked), 401, "token_revoked"))
    check(attacks)
    assert all(attack.reply.headers["www-authenticate"].startswith("Bearer") for attack in attacks)
    web.tokens.revoke(good.split("_")[1])
    assert web.get(queue, token=good).code == "token_revoked"  # at once
    assert not any(good[19:] in attack.reply.text for attack in attacks)


@pytest.mark.parametrize("role", ["worker", "planner", "operator", "observer"])
def test_each_role_may_send_its_commands_and_no_other(web: Web, role: Role) -> None:
    """What is let through is told that it is no good command, so nothing is done."""
    token = web.token("w1", role)
    replies = {verb: web.post(verb, {"no such field": 1}, token=token) for verb in COMMANDS}
    may = {verb for verb, roles in MAY.items() if role in roles} - {"project.fork"}
    codes = {verb: reply.code for verb, reply in replies.items()}
    assert codes == {verb: "bad_input" if verb in may else "not_permitted" for verb in COMMANDS}
    check([Attack(f"{role}: {v}", r, 403, "not_permitted") for v, r in replies.items() if v not in may])


def test_nobody_acts_as_another_or_in_a_project_that_is_not_theirs(web: Web) -> None:
    mallory = web.token("mallory")
    own, foreign = web.project, Web(web.port, web.data).project
    web.post("agent.spawn", {"agent": "bob", "persona": "plot"})
    web.post("task.enqueue", {"title": "Outline", "id": "t1"})
    taken = web.post("task.claim", headers={"Coord-Actor": "bob", "Idempotency-Key": "k1"})
    assert taken.json["result"]["tasks"][0]["task"] == "t1"
    web.post("task.enqueue", {"title": "Secret"}, project=foreign)
    bob = {"Coord-Actor": "bob"}
    sent = {
        "act as another agent": web.post("task.claim", token=mallory, headers=bob),
        "act as the operator": web.post("task.claim", token=mallory, headers={"Coord-Actor": "operator"}),
        "command another project": web.post("task.claim", project=foreign, token=mallory),
        "command the whole system": web.post("task.claim", project="_system", token=mallory),
        "read another project": web.get(f"/api/{foreign}/queue", token=mallory),
        "read another project's past": web.get(f"/api/{foreign}/queue?as_of=1", token=mallory),
        "read another project's events": web.get(f"/api/{foreign}/events", token=mallory),
        "hear another project's events": web.get(f"/api/{foreign}/stream", token=mallory),
        "read the system's settings": web.get("/api/_system/settings", token=mallory),
    }
    attacks = [Attack(name, reply, 403, "not_permitted") for name, reply in sent.items()]
    replayed = web.post("task.claim", token=mallory, headers={"Idempotency-Key": "k1"})
    attacks.append(Attack("another's idempotency key", replayed, 404, "unknown_agent"))
    stolen = web.post("task.complete", {"task": "t1", "fence": 1}, token=mallory)
    attacks.append(Attack("another's fence", stolen, 404, "unknown_agent"))
    pattern = web.get("/api/*/queue", token=mallory)
    attacks.append(Attack("a project that is a pattern", pattern, 400, "bad_name"))
    dots = web.get(f"/api/{own}.cmd.bob/queue", token=mallory)
    attacks.append(Attack("a project with more of a subject", dots, 400, "bad_name"))
    check(attacks)
    seen = {row["project"] for row in web.get(f"/api/{own}/projects", token=mallory).json["result"]}
    assert seen <= {own}


def test_what_a_browser_is_made_to_send_is_refused_and_so_is_what_does_not_fit(web: Web) -> None:
    queue, claim = f"/api/{web.project}/queue", f"/api/{web.project}/task/claim"
    token = web.token()
    address = f"127.0.0.1:{web.port}"

    def post(**headers: str) -> Reply:
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.send("POST", claim, token=token, headers={**JSON, **told}, body=b"{}")

    def chunks() -> Iterator[bytes]:
        yield from [b" " * 64 * 1024] * 6

    attacks = [
        Attack("a token in the URL", web.get(f"{queue}?token={token}", token=None), 400, "token_in_url"),
        Attack("an access_token in the URL", web.get(f"{queue}?access_token=x"), 400, "token_in_url"),
        Attack("a token as another parameter", web.get(f"{queue}?text={token}"), 400, "token_in_url"),
        Attack("a token in the path", web.get(f"/api/{token}/queue"), 400, "token_in_url"),
        Attack("a rebound name", post(Host="evil.example"), 421, "unknown_host"),
        Attack("a rebound name for metrics", web.get("/metrics", headers={"Host": "evil.example"}), 421,
               "unknown_host"),
        Attack("a name that is none", post(Host="127.0.0.1@evil.example"), 421, "unknown_host"),
        Attack("a page of another site", post(Origin="https://evil.example"), 403, "cross_site"),
        Attack("a page without an origin", post(Origin="null"), 403, "cross_site"),
        Attack("a page on another port", post(Origin="http://127.0.0.1:1"), 403, "cross_site"),
        Attack("a form", web.send("POST", claim, token=token, headers={
            "Content-Type": "application/x-www-form-urlencoded"}, body=b"task=t1"), 415, "wrong_media_type"),
        Attack("a command by GET", web.get(claim, token=token), 405, "wrong_method"),
        Attack("a list by POST", web.send("POST", queue, token=token, headers=JSON), 405, "wrong_method"),
        Attack("TRACE", web.send("TRACE", queue, token=token), 405, "wrong_method"),
        Attack("fields in the URL", web.send("POST", f"{claim}?task=t1", token=token, headers=JSON), 400,
               "bad_input"),
        Attack("a way up", web.get(f"/api/{web.project}/../../metrics", token=token), 404, "no_such_page"),
        Attack("an oversized body", web.send("POST", claim, token=token, headers=JSON,
               body=b" " * (MAX_PAYLOAD_BYTES + 1)), 413, "payload_too_large"),
        Attack("an oversized body in chunks", web.send("POST", claim, token=token, headers=JSON,
               body=chunks()), 413, "payload_too_large"),
        Attack("a body deep enough to drown in", web.send("POST", claim, token=token, headers=JSON,
               body=b"[" * 100_000), 400, "bad_input"),
        Attack("a body of two lengths", web.send("POST", claim, token=token, headers={
            **JSON, "Content-Length": "5", "Transfer-Encoding": "chunked"}, body=b"0\r\n\r\n"), 400,
               "bad_input"),
        Attack("an oversized head", web.get(queue, headers={"X-Long": "x" * 17_000}), 431, "head_too_large"),
        Attack("an oversized address", web.get(f"{queue}?text={'x' * 17_000}"), 431, "head_too_large"),
    ]  # fmt: skip
    check(attacks)
    assert web.send("HEAD", f"/api/{web.project}/stream", token=token).status == 405  # it would never end
    assert post(Origin=f"http://{address}").code == "unknown_agent"  # its own page may
    preflight = web.send("OPTIONS", claim, headers={"Origin": "https://evil.example"})
    assert not any(name.startswith("access-control") for name in preflight.headers)
    assert web.get(queue).headers["x-content-type-options"] == "nosniff"
    assert {attack.code for attack in attacks} <= denied(web).keys()


def test_whoever_asks_too_often_is_told_when_to_come_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.entry.RATE_PER_S", 0.001)
    monkeypatch.setattr("services.gateway.entry.BURST_REQUESTS", 3)
    hasty = web.token("hasty", "observer")
    replies = [web.get(f"/api/{web.project}/counts", token=hasty) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    check([Attack("too many requests", replies[-1], 429, "rate_limited")])
    assert int(replies[-1].headers["retry-after"]) > 100


def test_tokens_are_kept_as_hashes_for_the_owner_alone_and_compared_in_constant_time(
    web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        token = web.token()
        web.get(f"/api/{web.project}/queue", token=token)
        web.get(f"/api/{web.project}/queue", token=token[:-1] + "!")
    secret = token.split("_", 2)[2]
    assert secret not in caplog.text
    for path in (web.data / "gateway" / "tokens.json", web.data / "credentials" / "operator.token"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert secret not in path.read_text()
    calls = [
        node.func
        for node in ast.walk(ast.parse(inspect.getsource(tokens_module)))
        if isinstance(node, ast.Call)
    ]
    assert "compare_digest" in {call.id for call in calls if isinstance(call, ast.Name)}


def test_others_are_not_listened_to_before_there_is_a_token(data: Path) -> None:
    unwritable = data / "file"
    unwritable.write_text("no folder can be here")
    assert opened(unwritable / "data", "127.0.0.1").all() == []
    with pytest.raises(PublicWithoutTokens, match=r"0\.0\.0\.0"):
        opened(unwritable / "data", "0.0.0.0")  # noqa: S104  # nothing listens there: that is the point
    (token,) = opened(data, "0.0.0.0").valid()  # noqa: S104  # likewise
    assert (token.role, token.projects) == ("operator", ("*",))
    assert opened(data, "0.0.0.0").valid() == Tokens(data).all()  # noqa: S104  # one is enough
