"""Tests that need what a machine lacks are left out by name, and fail where none may be left out."""

import pytest

from tests.needs import WHOLE, needs_program


def test_a_program_that_is_missing_leaves_a_test_out_unless_none_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert needs_program("no-such-program", "sh").name == "sh"
    monkeypatch.delenv(WHOLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        needs_program("no-such-program")
    monkeypatch.setenv(WHOLE, "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        needs_program("no-such-program")
