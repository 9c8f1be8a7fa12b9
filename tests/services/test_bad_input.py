"""Whatever arrives at the door: a typed refusal, nothing written, and the service goes on."""

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from domain.catalog import COMMANDS
from domain.errors import CoordError
from services.bus.caller import Caller
from services.bus.connection import connect
from services.bus.wire import MAX_PAYLOAD_BYTES, Reply, encode_reply, encode_result, parse_command
from services.errors import BadInput
from tests.services.running import writing

BAD = [
    ("coord.main.cmd.op.task.frobnicate", b"{}", "unknown_verb"),
    ("coord.main.cmd.op.nothing.enqueue", b"{}", "unknown_verb"),
    ("coord.main.cmd.op.task.expire_lease", b'{"task":"t1"}', "unknown_verb"),
    ("coord.ma:in.cmd.op.task.claim", b"{}", "bad_name"),
    ("coord._mine.cmd.op.task.claim", b"{}", "bad_name"),
    ("coord.main.cmd.op.agent.spawn", b'{"agent":"_ticker","persona":"plot"}', "bad_input"),
    ("coord." + "p" * 65 + ".cmd.op.task.claim", b"{}", "bad_name"),
    ("coord.main.cmd.op.task.enqueue", b"", "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b"{", "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b"[]", "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b"\xff\xfe", "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":""}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":7}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":"x","colour":"red"}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":"x","priority":1e400}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":"x","priority":99999}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":"x","run_after":"2026-01-01T00:00:00"}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":"a\\u0000b"}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":"x","input":"\\ud800"}', "bad_input"),
    (
        "coord.main.cmd.op.task.enqueue",
        b'{"title":"x","input":' + b"[" * 900 + b"]" * 900 + b"}",
        "bad_input",
    ),
    ("coord.main.cmd.op.task.enqueue", b"[" * 100_000, "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"id":"a b","title":"x"}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b'{"id":"a..b","title":"x"}', "bad_input"),
    ("coord.main.cmd.op.task.enqueue", b" " * (MAX_PAYLOAD_BYTES + 1), "payload_too_large"),
    ("coord.main.cmd.op.task.complete", b'{"task":"t1","fence":1}', "unknown_agent"),
    ("coord.main.cmd.gone.task.claim", b"{}", "agent_terminated"),
    ("coord.main.cmd.op.setting.set", b'{"key":"max_agents","value":0}', "invalid_setting"),
    ("coord.main.cmd.op.task.enqueue", b'{"title":"x","depends_on":["nowhere"]}', "unknown_dependency"),
]


def test_each_kind_of_bad_input_has_its_own_code_and_changes_nothing(
    database_url: str, nats_url: str
) -> None:
    registry = CollectorRegistry()

    async def run() -> None:
        async with writing(database_url, nats_url, registry) as log, Caller(nats_url, "main", "op") as op:
            await op.ask("agent.spawn", {"agent": "gone", "persona": "plot"})
            await op.ask("agent.terminate", {"agent": "gone"})
            head = log.head()
            nats = {actor: await connect(nats_url, "test", actor=actor) for actor in ("op", "gone")}
            for subject, payload, code in BAD:
                reply = await nats[subject.split(".")[3]].request(subject, payload, timeout=5)
                error = msgspec.json.decode(reply.data)["error"]
                assert (code, subject, payload[:60]) == (error["code"], subject, payload[:60])
                assert error["message"]
            assert log.head() == head
            assert (await op.ask("task.enqueue", {"title": "Still here"})).position > head
            for connection in nats.values():
                await connection.close()

    asyncio.run(run())
    counted = {
        sample.labels["outcome"]
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "coordctl_commands_total"
    }
    assert counted >= {code for _, _, code in BAD}


@settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(COMMANDS)),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["title", "task", "fence", "tasks", "input", "key", "x"]), inner
                )
            ),
            max_leaves=12,
        ).map(msgspec.json.encode),
    ),
)
def test_any_payload_is_a_command_or_a_typed_refusal(verb: str, payload: bytes) -> None:
    try:
        command = parse_command(verb, payload)
    except BadInput:
        return
    assert msgspec.json.decode(msgspec.json.encode(command), type=type(command)) == command


@pytest.mark.parametrize("text", ["\\u0000", "a\\\\u0000", "\\\\\\u0000"])
def test_only_a_real_nul_is_refused(text: str) -> None:
    payload = b'{"title":"x","input":"' + text.encode() + b'"}'
    if "\0" in msgspec.json.decode(payload)["input"]:
        with pytest.raises(CoordError, match="NUL"):
            parse_command("task.enqueue", payload)
    else:
        parse_command("task.enqueue", payload)


def test_a_reply_is_one_json_document() -> None:
    reply = Reply(ok=True, position=7, result=encode_result({"task": "t1"}), sequence=3)
    assert msgspec.json.decode(encode_reply(reply)) == {
        "ok": True,
        "position": 7,
        "result": {"task": "t1"},
        "sequence": 3,
    }
