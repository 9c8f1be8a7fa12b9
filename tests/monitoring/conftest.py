"""What tests of monitoring start from."""

from tests.services.conftest import log

__all__ = ["log"]
