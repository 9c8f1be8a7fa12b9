"""A small collector of OpenTelemetry traces: it takes spans by OTLP over HTTP and keeps them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_S = 20


class Taken(Struct, frozen=True):
    """A span as it was sent; ids as hexadecimal."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    began_ns: int
    ended_ns: int
    failed: bool

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-01"


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent. While `answering` is not set it takes requests and never answers them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answering = threading.Event()
        self.answering.set()
        self.requests = 0
        self._news = threading.Condition()
        self._spans: list[Taken] = []

    def take(self, body: bytes) -> None:
        with self._news:
            self.requests += 1
            self._spans += _spans(body)
            self._news.notify_all()

    def of(self, trace_id: str, *names: str) -> dict[str, Taken]:
        """The spans of a trace by their names, as soon as these are there."""
        found: dict[str, Taken] = {}

        def there() -> bool:
            found.update({span.name: span for span in self._spans if span.trace_id == trace_id})
            return found.keys() >= set(names)

        with self._news:
            assert self._news.wait_for(there, WAIT_S), f"{names} are not all in {sorted(found)}"
        return found

    def asked(self) -> None:
        """Wait until somebody has sent something."""
        self.until(1)

    def until(self, count: int) -> None:
        """Wait until there are so many spans."""
        with self._news:
            assert self._news.wait_for(lambda: len(self._spans) >= count, WAIT_S)

    @property
    def spans(self) -> list[Taken]:
        with self._news:
            return [*self._spans]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.take(body)
        self.server.answering.wait()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    serving = threading.Thread(target=collector.serve_forever)
    serving.start()
    try:
        yield collector
    finally:
        collector.answering.set()
        collector.shutdown()
        serving.join()
        collector.server_close()


def _spans(body: bytes) -> Iterator[Taken]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _attributes(resource.resource)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Taken(
                    service=service,
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    links=tuple(link.span_id.hex() for link in span.links),
                    attributes=_attributes(span),
                    began_ns=span.start_time_unix_nano,
                    ended_ns=span.end_time_unix_nano,
                    failed=span.status.code == 2,
                )


def _attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}
