"""The domain's tests. Their helpers' assertions explain themselves as those of tests do."""

import pytest

pytest.register_assert_rewrite("tests.domain.given")
