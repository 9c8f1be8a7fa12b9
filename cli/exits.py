"""Exit codes, and what a refusal looks like to people and to programs."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from cli.output import clean
from domain.errors import CoordError, NotFound, Rejection

FAULT = 1
USAGE = 2
REJECTED = 3
NOT_FOUND = 4
UNAVAILABLE = 5
INTERRUPTED = 130

MEANINGS: Mapping[int, str] = {
    0: "done, or it was so already",
    FAULT: "something is wrong that trying again will not mend; the message says what",
    USAGE: "the command line, or a value in it, is not what the command takes; nothing was sent",
    REJECTED: "understood and refused; nothing was changed",
    NOT_FOUND: "what was named does not exist",
    UNAVAILABLE: "coordctl is not running, not ready or busy; try again",
    INTERRUPTED: "interrupted with Ctrl-C",
}

_USAGE_CODES = {
    "answer_too_large", "bad_input", "bad_name", "bad_point", "bad_sql", "payload_too_large",
    "invalid_config", "unknown_verb",
}  # fmt: skip
_NOT_FOUND_CODES = {"not_found", "point_not_reached"}
_UNAVAILABLE_CODES = {"not_running", "log_missing", "no_read_models", "state_unreadable"}
_REJECTED_CODES = {
    "not_permitted", "not_authorized", "identity_exists", "reserved_name", "file_exists", "in_use",
}  # fmt: skip
_FAULT_CODES = {"internal_error", "fold_failed", "unknown_event", "unreadable_event"}


def exit_code(error: CoordError) -> int:
    """The code that scripts tell refusals apart by; of one that came over the wire, only its code tells."""
    code = error.code
    if code in _FAULT_CODES:
        return FAULT
    if code in _USAGE_CODES:
        return USAGE
    if isinstance(error, NotFound) or code in _NOT_FOUND_CODES or code.startswith("unknown_"):
        return NOT_FOUND
    if error.retryable or code in _UNAVAILABLE_CODES:
        return UNAVAILABLE
    return (
        REJECTED
        if isinstance(error, Rejection) or code in _REJECTED_CODES or _came_over_the_wire(error)
        else FAULT
    )


def refuse(error: CoordError, *, as_json: bool) -> int:
    """Say why not: a sentence on stderr, or a document on stdout. Returns the exit code."""
    facts = {"code": error.code, "message": str(error), "retryable": error.retryable}
    _say(str(error), {**error.facts, **facts}, as_json)
    return exit_code(error)


def refuse_usage(error: click.ClickException, *, as_json: bool) -> int:
    """The same for a command line that cannot be understood."""
    if as_json:
        facts = {"code": "usage", "message": error.format_message(), "retryable": False}
        _say(error.format_message(), facts, as_json)
    else:
        error.show()
    return error.exit_code


def _say(sentence: str, facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({"ok": False, "error": facts}, enc_hook=str))
    else:
        lines = "\n".join(map(clean, sentence.splitlines()))
        click.echo(f"{click.style('Error:', fg='red')} {lines}", file=sys.stderr)


def _came_over_the_wire(error: CoordError) -> bool:
    caller = sys.modules.get("services.bus.caller")  # if nobody asked, nobody was refused
    return caller is not None and isinstance(error, caller.Refused)
