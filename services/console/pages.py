"""Templates and static files of the console, read once. Whatever a template is told is escaped.

The files that pages load stand under an address that has their hash in it, so that browsers keep them until
they change. Reads the folders beside it.
"""

import gzip
from collections.abc import Mapping
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct

from services.console import words

STATIC = "/console/static"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
}
_MIN_PACKED_BYTES = 1_000
_FILTERS = (
    words.span, words.age, words.clock, words.day, words.number, words.percent, words.status, words.as_json,
)  # fmt: skip


class File(Struct, frozen=True):
    """A static file; `packed` is the same with gzip, if that is worth while."""

    content: bytes
    packed: bytes | None
    media_type: str


class Pages:
    """Renders templates, and holds the static files by their paths."""

    def __init__(self) -> None:
        self.files = {path: _file(path, each) for path, each in _walk(files(__package__) / "static")}
        self.version = _version(self.files)
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update({each.__name__: each for each in _FILTERS})
        self._environment.globals.update(
            static=self.address,
            scripts=[path for path in sorted(self.files) if "/" not in path and path.endswith(".js")],
            styles=[path for path in sorted(self.files) if "/" not in path and path.endswith(".css")],
        )

    def render(self, template: str, variables: Mapping[str, Any]) -> str:
        return self._environment.get_template(template).render(variables)

    def address(self, path: str) -> str:
        """Where a static file is."""
        return f"{STATIC}/{self.version}/{path}"


def _walk(folder: Traversable, before: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for each in folder.iterdir():
        path = f"{before}{each.name}"
        found += _walk(each, f"{path}/") if each.is_dir() else [(path, each)]
    return found


def _file(path: str, found: Traversable) -> File:
    content = found.read_bytes()
    packed = gzip.compress(content, mtime=0) if len(content) >= _MIN_PACKED_BYTES else None
    return File(content, packed, _TYPES.get(f".{path.rpartition('.')[2]}", "application/octet-stream"))


def _version(found: Mapping[str, File]) -> str:
    digest = blake2b(digest_size=8)
    for path in sorted(found):
        digest.update(path.encode() + b"\0" + found[path].content)
    return digest.hexdigest()
