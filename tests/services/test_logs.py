"""What services write on stderr: a line for people, or an object for machines."""

import json
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
