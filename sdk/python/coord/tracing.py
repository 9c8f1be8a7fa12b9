"""Which trace a command belongs to, as W3C Trace Context writes it. Loads nothing: who traces has done so."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

HEADER = "traceparent"

_TRACE = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_NONE = ""
_named: ContextVar[str | None] = ContextVar("coord_traceparent", default=None)


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """Have the commands of this block belong to a span, or with None to no trace.

    Without such a block it is OpenTelemetry's current span, in a program that uses it, or the session's.
    """
    token = _named.set(traceparent or _NONE)
    try:
        yield
    finally:
        _named.reset(token)


def current(default: str | None) -> str | None:
    """The span that a command sent here belongs to.

    One that is written wrong is none: a trace must not keep anybody from their work.
    """
    named = _named.get()
    found = (_opentelemetry() or default) if named is None else named
    return found if found and _TRACE.fullmatch(found) else None


def _opentelemetry() -> str | None:
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None
