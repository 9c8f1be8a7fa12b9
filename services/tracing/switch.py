"""Whether this process makes traces. Loads OpenTelemetry only if somebody asked for them.

Whether somebody has, by COORD_OTEL or an endpoint, is found out in `services.config`. Everything else is set
as OpenTelemetry has it, by its own variables, which its library reads.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.tracing.spans import Spans
    from services.tracing.traces import Traces

logger = logging.getLogger(__name__)


@contextmanager
def tracing(service: str, *, wanted: bool) -> "Iterator[Traces | None]":
    """What makes the traces of this process, until the context ends; None if there are to be none."""
    spans = _spans(service) if wanted else None
    if spans is None:
        yield None
        return
    from services.tracing.traces import Traces

    try:
        yield Traces(spans)
    finally:
        spans.close()


def _spans(service: str) -> "Spans | None":
    """None if they cannot be made: no service stops for that."""
    try:
        from services.tracing.spans import Spans
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(("opentelemetry", "google")):
            raise
        logger.warning("no traces: %s is missing; install coordctl[otel], or set COORD_OTEL=off", error.name)
        return None
    try:
        return Spans(service)
    except ValueError as error:
        logger.warning("no traces: one of OpenTelemetry's variables is wrong (%s)", error)
        return None
