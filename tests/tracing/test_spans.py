"""Spans within one process: whole batches, collectors that are away, and what there is without any."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from domain.agents import Heartbeat
from domain.messages import Command
from domain.tasks.commands import EnqueueTask
from services.bus.wire import Reply, encode_reply
from services.tracing import spans as making
from services.tracing.origins import Origin
from services.tracing.spans import MAX_AGE_S, MAX_SPANS_A_BATCH, Spans, parse
from services.tracing.traces import Traces
from services.writer.requests import Request
from tests.tracing.collector import collecting

RUN_TIMEOUT_S = 30
ANSWER = encode_reply(Reply(ok=True, position=7, result={}))


class Immediate:
    """A writer that answers at once."""

    def __init__(self) -> None:
        self.taken: list[Request] = []

    def submit(self, request: Request) -> None:
        self.taken.append(request)
        request.answer(ANSWER)


def request(n: int, answers: list[bytes], command: Command | None = None, trace: bool = True) -> Request:
    return Request(
        project="p", actor="a1", command=command or EnqueueTask(title="t"), command_id=f"c{n}",
        answer=answers.append, traceparent=traceparent(n) if trace else None,
    )  # fmt: skip


def traceparent(n: int, flags: str = "01") -> str:
    return f"00-{n + 1:032x}-{n + 1:016x}-{flags}"


def origins(count: int, at_s: float | None = None) -> Iterator[Origin]:
    at_s = datetime.now(UTC).timestamp() if at_s is None else at_s
    return (Origin(traceparent(n), "p", "a1", f"c{n}", at_s) for n in range(count))


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def spans(kept: InMemorySpanExporter) -> Iterator[Spans]:
    made = Spans("test", kept)
    yield made
    made.close()


def test_a_batch_has_a_span_in_each_trace_and_all_link_to_the_first(
    spans: Spans, kept: InMemorySpanExporter
) -> None:
    events = [each for each in origins(3) for _ in range(2)]
    spans.batch("commit", events).end({"coordctl.batch.events": 6})
    spans.close()
    first, *others = kept.get_finished_spans()
    assert [span.parent.span_id for span in (first, *others) if span.parent] == [1, 2, 3]
    assert first.links == ()
    assert {span.links[0].context.span_id for span in others} == {first.context.span_id}
    assert {(span.attributes or {})["coordctl.batch.events"] for span in (first, *others)} == {6}


def test_a_large_batch_an_old_one_and_unsampled_traces_cost_little(
    spans: Spans, kept: InMemorySpanExporter
) -> None:
    spans.batch("fold", origins(10 * MAX_SPANS_A_BATCH)).end({})
    long_ago = datetime.now(UTC).timestamp() - MAX_AGE_S - 1
    spans.batch("fold", origins(5, long_ago)).end({})
    now = datetime.now(UTC).timestamp()
    spans.batch("fold", [Origin(traceparent(1, "00"), "p", "a1", "c1", now)]).end({})
    spans.close()
    assert len(kept.get_finished_spans()) == MAX_SPANS_A_BATCH


def test_events_get_the_traceparent_of_the_span_of_their_command(
    spans: Spans, kept: InMemorySpanExporter
) -> None:
    writer, answers = Immediate(), list[bytes]()
    taker = Traces(spans).taker(writer)
    taker.submit(request(1, answers))
    taker.submit(request(2, answers, trace=False))
    taker.submit(request(3, answers, command=Heartbeat(), trace=False))
    spans.close()
    continued, begun = kept.get_finished_spans()
    assert answers == [ANSWER] * 3
    written = [parse(each.traceparent) if each.traceparent else None for each in writer.taken]
    assert written[0] is not None
    assert (written[0].trace_id, written[0].span_id) == (2, continued.context.span_id)
    assert written[1] is not None
    assert written[1].span_id == begun.context.span_id
    assert written[2] is None


@pytest.mark.parametrize("written", ["", "rubbish", f"00-{0:032x}-{1:016x}-01", f"ff-{1:032x}-{1:016x}-01"])
def test_a_trace_that_is_none_stops_nobody(written: str, spans: Spans) -> None:
    now = datetime.now(UTC).timestamp()
    assert not spans.batch("publish", [Origin(written, "p", "a1", "c1", now)]).headers()


def test_a_collector_that_hangs_keeps_nobody_waiting_and_nothing_piles_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(making, "CLOSE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(making, "MAX_QUEUE_SPANS", 1_000)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    with collecting() as collector:
        collector.answering.clear()
        spans = Spans("test", OTLPSpanExporter(f"{collector.url}/v1/traces"))
        writer, answers = Immediate(), list[bytes]()
        taker = Traces(spans).taker(writer)
        taker.submit(request(0, answers))
        collector.asked()
        for n in range(4_000):
            taker.submit(request(n, answers))
        assert len(answers) == 4_001
        spans.close()
        assert collector.requests == 1, "the first request hangs still, and nobody has waited for it"
        collector.answering.set()
        for thread in senders():
            thread.join(RUN_TIMEOUT_S)
    assert 1_000 <= len(collector.spans) <= 1_000 + 512, "what was queued, and what was sent first"


def senders() -> list[threading.Thread]:
    """The threads that send spans."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("OtelBatch")]


def test_without_traces_opentelemetry_is_not_loaded() -> None:
    assert run(
        "import services.writer.terms, services.relay.relay, services.projector.projector, services.wiring",
        "from services.tracing.switch import tracing",
        "with tracing('writer', wanted=False) as traces: print(traces)",
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'google'))])",
    ) == ["None", "[]"]


def test_traces_without_the_extra_are_left_out_with_a_word() -> None:
    lines = run(
        "sys.modules['opentelemetry.sdk'] = None",
        "from services.tracing.switch import tracing",
        "with tracing('writer', wanted=True) as traces: print(traces)",
    )
    assert lines[-1] == "None"
    assert any("coordctl[otel]" in line for line in lines)


def test_traces_that_are_configured_wrong_are_left_out_with_a_word() -> None:
    lines = run(
        "import os; os.environ['OTEL_BSP_MAX_QUEUE_SIZE'] = '-1'",
        "from services.tracing.switch import tracing",
        "with tracing('writer', wanted=True) as traces: print(traces)",
    )
    assert lines[-1] == "None"
    assert any("variables is wrong" in line for line in lines)


def run(*code: str) -> list[str]:
    """What another process says of this, its log included."""
    program = "\n".join(("import logging, sys", "logging.basicConfig(stream=sys.stdout)", *code))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=RUN_TIMEOUT_S
    )
    return done.stdout.splitlines()
