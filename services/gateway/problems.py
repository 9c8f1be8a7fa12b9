"""Refusals over HTTP: RFC 9457 problems, and the status of each code. Pure.

One table, for whatever code comes: a refusal of the writer is known here by its code alone.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from starlette.responses import Response

from domain.errors import CoordError

MEDIA_TYPE = "application/problem+json"

_CODES: Mapping[int, tuple[str, ...]] = {
    400: ("answer_too_large", "bad_input", "bad_name", "bad_point", "bad_sql", "token_in_url"),
    401: ("token_expired", "token_revoked", "unauthenticated"),
    403: ("cross_site", "foreign_reply_subject", "not_permitted"),
    404: (
        "bad_cursor", "no_such_page", "not_found", "point_not_reached", "unknown_agent", "unknown_bookmark",
        "unknown_decision", "unknown_dependency", "unknown_estimate", "unknown_handoff", "unknown_memory",
        "unknown_pattern", "unknown_persona", "unknown_project", "unknown_projection", "unknown_sequence",
        "unknown_session", "unknown_spike", "unknown_task", "unknown_token", "unknown_verb", "unknown_view",
    ),
    405: ("wrong_method",),
    408: ("slow_body",),
    409: (
        "agent_exists", "agent_limit_reached", "agent_terminated", "bookmark_limit_reached",
        "dependency_cycle", "handoff_not_yours", "handoff_open", "handoff_wrong_state", "inside_command",
        "invalid_bookmark", "invalid_command", "invalid_plan", "invalid_setting", "memory_private",
        "not_yet_visible", "persona_exists", "project_differs", "project_exists", "rejected",
        "reserved_project", "session_of_another", "stale_fence", "task_does_not_fit", "task_exists",
        "task_not_claimable", "wrong_state",
    ),
    413: ("payload_too_large",),
    415: ("wrong_media_type",),
    421: ("unknown_host",),
    429: ("rate_limited", "too_many_at_once"),
    431: ("head_too_large",),
    500: (
        "broken_history", "error", "fold_failed", "internal_error", "tokens_unreadable", "unknown_event",
        "unreadable_event",
    ),
    503: (
        "busy", "closing", "embedder_missing", "fell_behind", "log_conflict", "log_full", "log_missing",
        "log_unavailable", "no_read_models", "not_authorized", "public_without_tokens", "rows_missing",
        "too_many_commands", "too_many_listeners", "too_many_tokens", "unavailable",
    ),
    504: ("sql_timed_out", "timed_out"),
}  # fmt: skip

STATUSES: Mapping[str, int] = {code: status for status, codes in _CODES.items() for code in codes}
"""The HTTP status of every code that a request over HTTP can meet."""

_UNREAD = (408, 413)
"""Statuses that are told while the rest of a body may still be coming: nobody waits for it."""

RETRY_AFTER_S = 1.0
"""For a refusal that says try again, but not when."""


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why not. `code` for programs, `detail` for people, `facts` for both; `retry_after` in seconds."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    retry_after: float | None = None
    facts: dict[str, Any] = {}


def problem(error: CoordError, headers: Mapping[str, str] | None = None) -> Response:
    """The refusal as a response."""
    told = _described(error)
    more = dict(headers or {})
    if told.retry_after is not None:
        more["Retry-After"] = str(max(math.ceil(told.retry_after), 1))
    if told.status == 401:
        more["WWW-Authenticate"] = 'Bearer realm="coordctl"'
    if told.status in _UNREAD:
        more["Connection"] = "close"
    body = msgspec.json.encode(told, enc_hook=str)
    return Response(body, told.status, headers=more, media_type=MEDIA_TYPE)


def status_of(error: CoordError) -> int:
    """A code that is not in the table is that of a fault: nobody foresaw it."""
    return STATUSES.get(error.code, 503 if error.retryable else 500)


def _described(error: CoordError) -> Problem:
    facts = {name: value for name, value in error.facts.items() if name != "retry_after_s"}
    retry_after = error.facts.get("retry_after_s", RETRY_AFTER_S) if error.retryable else None
    return Problem(
        type=f"urn:coordctl:problem:{error.code}",
        title=error.code.replace("_", " ").capitalize(),
        status=status_of(error),
        detail=str(error),
        code=error.code,
        retryable=error.retryable,
        retry_after=retry_after,
        facts=facts,
    )
