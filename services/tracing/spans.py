"""The spans of one process: made here, kept in a bounded queue, and sent off by a thread of their own.

The only module that loads OpenTelemetry's SDK. Nothing global is set. A collector that is away costs spans:
when the queue is full the oldest are dropped, and nobody waits.
"""

import logging
import os
import socket
from collections.abc import Iterable, Mapping
from threading import Thread
from time import time, time_ns

from msgspec import Struct
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span as Recording
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from services.logs import discreet
from services.tracing.origins import Origin

MAX_QUEUE_SPANS = 8_192
EXPORT_TIMEOUT_S = 5.0
CLOSE_TIMEOUT_S = 2.0
"""How long a process that ends waits for its last spans to be taken."""

MAX_STATUS_CHARS = 1_000
MAX_SPANS_A_BATCH = 64
MAX_AGE_S = 600.0
"""Events older than this are folded or published because something is made anew: no trace waits for that."""

KINDS = {"publish": SpanKind.PRODUCER, "fold": SpanKind.CONSUMER}
QUEUE_VARIABLE = "OTEL_BSP_MAX_QUEUE_SIZE"
TIMEOUT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")

Attributes = Mapping[str, str | int]

logging.getLogger("opentelemetry").setLevel(logging.WARNING)


class Spans:
    """Makes spans. `close` in the end."""

    def __init__(self, service: str, exporter: SpanExporter | None = None) -> None:
        """Without an exporter they go by OTLP over HTTP to where OpenTelemetry's variables say."""
        resource = Resource.create(
            {
                "service.name": f"coordctl-{service}",
                "service.namespace": "coordctl",
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        processor = BatchSpanProcessor(exporter or _exporter(), max_queue_size=_max_queue_spans())
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("coordctl")

    def command(self, verb: str, traceparent: str | None, attributes: Attributes) -> "CommandSpan | None":
        """The span of a command, in its caller's trace or a new one; None if that is not sampled."""
        parent = parse(traceparent) if traceparent else None
        context = set_span_in_context(NonRecordingSpan(parent)) if parent else None
        span = self._tracer.start_span(verb, context, SpanKind.SERVER, {**attributes})
        return CommandSpan(span) if isinstance(span, Recording) else None

    def batch(self, name: str, origins: Iterable[Origin], since_ns: int | None = None) -> "BatchSpans":
        """One span in the trace of each of these commands; all of them link to the first.

        There are MAX_SPANS_A_BATCH at most: of a batch that is larger some tell of all.
        """
        oldest = time() - MAX_AGE_S
        found = {each.traceparent: each for each in origins if each.traceparent and each.at_s >= oldest}
        spans: dict[str, Recording] = {}
        for traceparent, origin in found.items():
            if len(spans) >= MAX_SPANS_A_BATCH:
                break
            parent = parse(traceparent)
            if parent is None or not parent.trace_flags.sampled:
                continue
            links = [Link(span.get_span_context()) for span in [*spans.values()][:1]]
            span = self._tracer.start_span(
                name,
                set_span_in_context(NonRecordingSpan(parent)),
                KINDS.get(name, SpanKind.INTERNAL),
                {**attributes_of(origin), "coordctl.batch.commands": len(found)},
                links,
                since_ns,
            )
            if isinstance(span, Recording):
                spans[traceparent] = span
        return BatchSpans(spans)

    def close(self) -> None:
        """Send what is left, unless nobody takes it for a while."""
        closing = Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(CLOSE_TIMEOUT_S)


class CommandSpan:
    """The span of one command, from its arrival to its answer."""

    def __init__(self, span: Recording) -> None:
        self._span = span
        self.traceparent = written(span.get_span_context())
        """What the command's events are given, so that what follows from them belongs to this span."""

    def end(self, code: str | None, position: int | None) -> None:
        """`code` says why the command was refused, if it was."""
        if code is not None:
            self._span.set_attribute("error.type", code)
            self._span.set_status(StatusCode.ERROR, code)
        if position is not None:
            self._span.set_attribute("coordctl.position", position)
        self._span.end()


class BatchSpans(Struct, frozen=True):
    """The spans of one piece of work that was done for several commands, by the traceparent of each."""

    by_parent: Mapping[str, Recording]

    def headers(self) -> dict[str, str]:
        """The traceparent of each of these spans, by that of its command."""
        return {parent: written(span.get_span_context()) for parent, span in self.by_parent.items()}

    def end(self, attributes: Attributes, error: BaseException | None = None) -> None:
        """All end at once; with an error they say so."""
        now_ns = time_ns()
        for span in self.by_parent.values():
            span.set_attributes({**attributes})
            if error is not None:
                span.set_attribute("error.type", getattr(error, "code", type(error).__name__))
                span.set_status(
                    StatusCode.ERROR, discreet(str(error))[:MAX_STATUS_CHARS] or type(error).__name__
                )
            span.end(now_ns)


def attributes_of(origin: Origin) -> dict[str, str | int]:
    return {
        "coordctl.project": origin.project,
        "coordctl.actor": origin.actor,
        "coordctl.command_id": origin.command_id,
    }


def parse(traceparent: str) -> SpanContext | None:
    """The span that is meant; None if it is none."""
    try:
        version, trace_id, span_id, flags = traceparent[:55].split("-")
        context = SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
    except ValueError:
        return None
    return context if context.is_valid and version != "ff" else None


def written(context: SpanContext) -> str:
    """The traceparent of a span."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _exporter() -> SpanExporter:
    told = any(os.environ.get(variable) for variable in TIMEOUT_VARIABLES)
    return OTLPSpanExporter(timeout=None if told else EXPORT_TIMEOUT_S)


def _max_queue_spans() -> int | None:
    """None leaves it to the library to read its variable."""
    return None if os.environ.get(QUEUE_VARIABLE) else MAX_QUEUE_SPANS
