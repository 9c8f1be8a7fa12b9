"""One running system for all tests that only use it, and the command line as its users have it."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner

from cli.main import coordctl
from tests.acceptance.system import System, running
from tests.conftest import temporary_data


class Shell:
    """`coordctl` in this process, with an environment and a project of its own, against a real system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.project = f"p{uuid4().hex}"
        self.environ = {"COORD_DATA": str(system.data), "COORD_PROJECT": self.project}

    def __call__(self, *arguments: str, code: int = 0, stdin: str | None = None, **variables: str) -> str:
        """What the command prints on stdout; its exit code must be as said."""
        output, error, ended = self.run(*arguments, stdin=stdin, **variables)
        assert ended == code, f"{arguments}: {ended}\n{output}{error}"
        return output

    def json(self, *arguments: str, code: int = 0, stdin: str | None = None, **variables: str) -> Any:
        """The document that the command prints with `--json`, and nothing else."""
        return json.loads(self(*arguments, "--json", code=code, stdin=stdin, **variables))

    def error(self, *arguments: str, code: int, **variables: str) -> str:
        """What a refused command says on stderr; it prints nothing else."""
        output, error, ended = self.run(*arguments, **variables)
        assert (ended, output) == (code, ""), f"{arguments}: {ended}\n{output}{error}"
        return error

    def run(self, *arguments: str, stdin: str | None = None, **variables: str) -> tuple[str, str, int]:
        """Stdout, stderr and the exit code."""
        env = {"COORD_AGENT": None, "COORD_ACTOR": None, **self.environ, **variables}
        done = CliRunner().invoke(coordctl, arguments, input=stdin, env=env)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout, done.stderr, done.exit_code


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """A system that is up; tests leave it so, and use projects of their own."""
    with temporary_data() as folder, running(folder) as system:
        yield system


@pytest.fixture
def shell(system: System) -> Shell:
    """A fresh project on the running system."""
    return Shell(system)
