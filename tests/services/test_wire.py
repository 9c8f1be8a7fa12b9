"""What may travel: where an answer may go, and which trace is one."""

import pytest

from services.bus.wire import TRACE_HEADER, inbox, may_answer, parse_trace

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("reply", ["_INBOX.a1.x", "_INBOX.a1.x.y", "_INBOX.a1.a*b"])
def test_an_answer_goes_to_the_inbox_of_who_asked(reply: str) -> None:
    assert may_answer(reply, inbox("a1"))


@pytest.mark.parametrize(
    "reply",
    [
        "", "coord.p.evt.task.t1", "_INBOX.a2.x", "_INBOX.a1", "_INBOX.a1.", "_INBOX.a1..x", "_INBOX.a1.*",
        "_INBOX.a1.>", "_INBOX.a1.x\x0b", "_INBOX.a1.\x7f", "_INBOX.a1.x\n", "_INBOX.a1." + "x" * 600,
    ],
)  # fmt: skip
def test_an_answer_goes_nowhere_else(reply: str) -> None:
    assert not may_answer(reply, inbox("a1"))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (TRACE, TRACE),
        ("x", None),
        ("", None),
        (TRACE + "\0", None),
        (TRACE + "\n", None),
        (TRACE.upper(), None),
    ],
)
def test_what_is_no_trace_is_left_out(given: str, taken: str | None) -> None:
    assert parse_trace({TRACE_HEADER: given}) == taken
    assert parse_trace(None) is None
