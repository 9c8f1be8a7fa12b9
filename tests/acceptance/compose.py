"""The compose file as a machine without containers can have it: each service in a root of its own.

Names of volumes become folders, container paths become paths in that root, and names of hosts the addresses
where the tests have their servers. Commands, environment and health checks stay what they are.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.system import ROOT

FILE = ROOT / "docker-compose.yml"
TLS_FILE = ROOT / "ops" / "compose.tls.yml"
SETUP = ROOT / "ops" / "setup.sh"

_VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
_IN_A_ROOT = re.compile(r"(?<![\w.])/(?=(?:backups|data|docker-entrypoint-initdb|etc|keys|run|var)\b)")


def read(path: Path, **variables: str) -> dict[str, Any]:
    """A compose file with what the variables say, as `docker compose config` has it."""
    return dict(_filled(yaml.safe_load(path.read_text()), variables))


def mounts(service: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Source, path in the container, and whether it may be written."""
    found = [volume.split(":") for volume in service.get("volumes", [])]
    return [(source, target, mode != ["ro"]) for source, target, *mode in found]


class Container:
    """One service, run here. `folder` holds the volumes and roots of all, `names` what stands for a host."""

    def __init__(self, name: str, compose: Mapping[str, Any], folder: Path, names: Mapping[str, str]) -> None:
        self.service = compose["services"][name]
        self.root = folder / "roots" / name
        self._names = names
        for source, target, _ in mounts(self.service):
            path = self.root / target.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            volume = ROOT / source if source.startswith(".") else folder / "volumes" / source
            if not volume.exists():
                volume.mkdir(parents=True)
            if not path.is_symlink():
                path.symlink_to(volume)

    def path(self, path: str) -> Path:
        """A path of the container, here."""
        return Path(self.here(path))

    def here(self, text: str) -> str:
        """A text that names paths and hosts of the container, with those of this machine."""
        text = _IN_A_ROOT.sub(f"{self.root}/", text)
        for name, address in self._names.items():
            text = text.replace(name, address)
        return text

    @property
    def environ(self) -> dict[str, str]:
        """Its environment, of ours the path alone, and a home in which nothing can be written."""
        given = {name: self.here(str(value)) for name, value in self.service.get("environment", {}).items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOME": os.devnull, "PYTHONPATH": str(ROOT), **given}

    def command(self, *arguments: str) -> list[str]:
        """What the container runs, or runs with these arguments in place of its own."""
        entry = self.service.get("entrypoint", ["coordctl"] if self.service["image"] == "coordctl" else [])
        return _program([*entry, *(self.here(each) for each in arguments or self.service["command"])])

    @property
    def check(self) -> list[str]:
        kind, *test = self.service["healthcheck"]["test"]
        assert kind == "CMD"
        return _program([self.here(each) for each in test])


def _program(command: list[str]) -> list[str]:
    programs = {"coordctl": [sys.executable, "-m", "cli.main"], "coordctl-setup": ["sh", str(SETUP)]}
    return [*programs.get(command[0], command[:1]), *command[1:]]


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return _VARIABLE.sub(lambda found: _value(found, variables), value) if isinstance(value, str) else value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name, kind, rest = found.groups()
    if name in variables:
        return variables[name]
    assert kind == "-", f"{name} must be set: {rest}"
    return str(rest)
