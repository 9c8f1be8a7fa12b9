"""What some tests need that a machine may not have: without it they are left out, by name.

With COORD_TESTS_WHOLE=1 in the environment nothing may be left out, and they fail instead.
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
