"""The trace that this process is working for, if whoever called it has named one. Loads nothing for it."""

import sys
from typing import Any

from domain.agents import Heartbeat
from services.bus.wire import TRACE_HEADER


def current_trace(verb: str) -> dict[str, str]:
    """The header for a command that is sent on behalf of a caller: OpenTelemetry's current span, or none.

    The library of MCP has set it from the call's own `_meta`. Heartbeats are sent for nobody.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None or verb == Heartbeat.name:
        return {}
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {TRACE_HEADER: f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"}
