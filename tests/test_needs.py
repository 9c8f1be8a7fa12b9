"""Tests that need what a machine lacks are left out by name, and fail where none may be left out."""

import pytest

from tests.needs import WHOLE, needs_program

pytest_plugins = ("pytester",)


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


def test_however_a_test_is_left_out_it_fails_where_none_may_be(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest(
        "from tests.conftest import pytest_collection_modifyitems, pytest_configure\n"
        "from tests.conftest import pytest_runtest_makereport"
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.skipif(True, reason="another machine")
        def test_marked(): ...

        def test_in_the_middle():
            pytest.skip("no such thing")

        @pytest.mark.beside("/no/such/file")
        def test_of_a_file_beside_the_project():
            raise AssertionError
        """
    )
    monkeypatch.delenv(WHOLE, raising=False)
    pytester.runpytest_inprocess().assert_outcomes(skipped=2)
    monkeypatch.setenv(WHOLE, "1")
    failing = pytester.runpytest_inprocess()
    failing.assert_outcomes(errors=1, failed=1)
    failing.stdout.fnmatch_lines(["*no test may be left out, but: *no such thing*"])
