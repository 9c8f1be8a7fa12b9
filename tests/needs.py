"""What some tests need that a machine may not have: without it they are left out, by name.

With COORD_TESTS_WHOLE=1 in the environment nothing may be left out, and they fail instead. Tests of files
that are no part of the project, marked `beside(path)`, are there only where the files are.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

WHOLE = "COORD_TESTS_WHOLE"


def needs_program(*names: str) -> Path:
    """The first of these programs that there is; else the test is left out, with the reason."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        leave_out(f"there is no {' or '.join(names)} on this machine")
    return Path(found)


def leave_out(reason: str) -> NoReturn:
    """Skip the test, or fail it where none may be left out."""
    if os.environ.get(WHOLE) == "1":
        pytest.fail(f"no test may be left out, but {reason}", pytrace=False)
    pytest.skip(reason)


def without_gaps(report: pytest.TestReport) -> pytest.TestReport:
    """The report; that of a test that was left out is one of a failure where none may be."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(WHOLE) == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"no test may be left out, but: {reason}"
    return report


def only_with_their_files(items: list[pytest.Item]) -> None:
    """Take away the tests whose files beside the project are not there."""
    items[:] = [
        item for item in items if all(Path(mark.args[0]).exists() for mark in item.iter_markers("beside"))
    ]
