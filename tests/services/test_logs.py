"""What services write on stderr: a line for people, or an object for machines."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from services import logs
from services.access.keys import new_seed

RUN_TIMEOUT_S = 20


DOCUMENT = Path(__file__).parent.parent.parent / "docs/logs-and-traces.md"


def written(style: str, code: str, level: str = "info") -> list[str]:
    """What a process that logs in this style, from this level on, writes."""
    program = (
        f"import logging; from services import logs; logs.set_up('writer', {style!r}, {level!r})\n{code}"
    )
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


def test_what_a_line_is_about_stands_beside_its_message() -> None:
    code = "logging.warning('late', extra={'project': 'p', 'command_id': 'c1', 'nonsense': 1})"
    (line,) = written(logs.LINES, code)
    assert line.endswith("warning: late [project=p command_id=c1]")
    entry = json.loads(written(logs.JSON, code)[0])
    assert (entry["project"], entry["command_id"]) == ("p", "c1")
    assert not {"actor", "nonsense"} & entry.keys()


def test_every_field_of_a_line_is_explained() -> None:
    document = DOCUMENT.read_text()
    assert [name for name in logs.FIELDS if f"`{name}`" not in document] == []


def test_what_only_developers_want_is_left_out_unless_they_ask_for_it() -> None:
    code = "logging.getLogger('services.x').debug('ours'); logging.getLogger('library').debug('theirs')"
    assert written(logs.LINES, code) == []
    (line,) = written(logs.LINES, code, "debug")
    assert line.endswith("ours")
    assert written(logs.LINES, "logging.info('ready'); logging.error('over')", "error")[0].endswith("over")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("no answer from postgresql://coord:hunter2@db:5432/coord", "hunter2"),
        ("no answer from nats://a:hunter2@n1:4222,nats://a:hunter3@n2:4222", "hunter"),
        ("host=db password=hunter2 user=coord", "hunter2"),
        ("host=db password='hunter 2' user=coord", "hunter"),
        (f"the seed {(seed := new_seed())} is bad", seed[2:]),
        (f"Authorization: Bearer coord_0123456789ab_{'x' * 43}", "xxx"),
        ("Authorization: Bearer hunter2", "hunter2"),
    ],
    ids=["url", "urls", "dsn", "quoted", "seed", "token", "bearer"],  # a seed is another in each process
)
def test_no_secret_gets_into_a_log_whoever_writes_it(text: str, secret: str) -> None:
    code = f"logging.error({text!r}, extra={{'task': {text!r}}})\ntry:\n    raise ValueError({text!r})\n"
    code += "except ValueError:\n    logging.exception('failed')"
    for style in logs.FORMATS:
        lines = "".join(written(style, code))
        assert "ValueError" in lines
        assert secret not in lines


def test_nobody_forges_a_line_for_people() -> None:
    lines = written(logs.LINES, "logging.warning('bad name: %s', 'x\\n14:03:59.123 all is well')")
    assert len(lines) == 1


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
    fault = "try: raise ValueError('x' * 100_000)\nexcept ValueError: logging.exception('failed')"
    assert len("".join(written(logs.LINES, fault))) < 2 * logs.MAX_TRACEBACK_CHARS


def test_what_ends_a_process_is_always_written() -> None:
    assert len(written(logs.LINES, "for n in range(100): logging.critical('over')")) == 100
