"""What services write on stderr: a line for people, or an object for machines."""

import json
import logging
import subprocess
import sys

from services import logs

RUN_TIMEOUT_S = 20


def written(style: str, code: str) -> list[str]:
    """What a process that logs in this style writes."""
    program = f"import logging; from services import logs; logs.set_up('writer', {style!r})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, timeout=RUN_TIMEOUT_S,
    )  # fmt: skip
    return done.stderr.splitlines()


def test_people_read_one_line_with_the_level_only_where_it_matters() -> None:
    lines = written(logs.LINES, "logging.info('ready'); logging.warning('slow')")
    assert [line.split(" ", 1)[1] for line in lines] == ["ready", "warning: slow"]


def test_machines_read_one_object_a_line_tracebacks_included() -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('failed')"
    (line,) = written(logs.JSON, code)
    entry = json.loads(line)
    assert (entry["service"], entry["level"], entry["message"]) == ("writer", "error", "failed")
    assert "ZeroDivisionError" in entry["traceback"]
    assert entry["at"].endswith("Z")


def test_lines_of_several_services_are_told_apart() -> None:
    assert logs.in_style(logs.LINES, "relay", "ready") == "relay     | ready"
    own = '{"service":"relay","message":"ready"}'
    assert logs.in_style(logs.JSON, "relay", own) == own
    assert json.loads(logs.in_style(logs.JSON, "nats", "runs again"))["service"] == "nats"


def test_what_only_developers_want_is_left_out() -> None:
    assert written(logs.LINES, "logging.debug('detail')") == []


def test_of_lines_that_are_alike_some_are_written_and_the_rest_counted() -> None:
    sparing, passed = logs.Sparing(), []
    for at in (*range(50), logs.LIKE_WINDOW_S):
        record = logging.makeLogRecord({"levelno": logging.WARNING, "created": float(at), "args": (at,)})
        record.msg = "no answer for %s"
        if sparing.filter(record):
            passed.append(record.getMessage())
    left_out = 50 - logs.MAX_LIKE_LINES
    assert passed[:-1] == [f"no answer for {at}" for at in range(logs.MAX_LIKE_LINES)]
    assert passed[-1] == f"no answer for {logs.LIKE_WINDOW_S} (and {left_out} before, left out)"


def test_whatever_is_said_the_log_stays_small() -> None:
    code = "for n in range(5000): logging.warning(f'{n} ' + 'x' * 100_000)"
    assert len(written(logs.LINES, code)) < logs.MAX_KINDS + 2 * logs.MAX_LIKE_LINES
    (line,) = written(logs.LINES, "logging.error('%s', 'x' * 100_000)")
    assert len(line) < 2 * logs.MAX_MESSAGE_CHARS


def test_what_goes_on_as_it_should_and_what_ends_a_process_is_always_written() -> None:
    lines = written(logs.LINES, "for n in range(100): logging.info('on'); logging.critical('over')")
    assert len(lines) == 200
