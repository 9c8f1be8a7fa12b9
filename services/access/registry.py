"""The identities of a data directory: `nats/identities.json`, from which the server's users are made.

It holds public keys only. The seeds of those that were made here are in `credentials/<name>.nk`. Touches
these files alone: whoever changes them has the server read them again (`services/embedded/reload.py`).
"""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from domain.errors import CoordError
from services.access.identity import Identity
from services.access.keys import BadCredentials, new_seed, public_key, read_seed
from services.access.permissions import ECHO
from services.access.roles import EVERY, LOCAL_OPERATOR, SERVICE_PREFIX, Role
from services.bus.wire import check_name
from services.files import write_private
from services.roster import SERVICES

FOLDER = "credentials"
RECORD = "identities.json"
MAX_IDENTITIES = 10_000
MAX_PROJECTS = 100

_KEY = re.compile(r"U[A-Z2-7]{55}")

_decode = msgspec.json.Decoder(list[Identity]).decode


class IdentityExists(CoordError):
    code = "identity_exists"
    says = "There is an identity {name} already; `coordctl access rotate {name}` gives it another key."


class UnknownIdentity(CoordError):
    code = "unknown_identity"
    says = "There is no identity {name}; `coordctl access list` tells which there are."


class ReservedName(CoordError):
    code = "reserved_name"
    says = "{name} cannot be enrolled as {role}: {why}."


class FileExists(CoordError):
    code = "file_exists"
    says = "{path} exists, and a key is never written over another file; move it away, or choose --out."


class RecordUnreadable(CoordError):
    code = "identities_unreadable"
    says = "{path} cannot be read ({why}); nobody is let in or shut out before it can."


class TooManyIdentities(CoordError):
    code = "too_many_identities"
    says = "There are {limit} identities, the limit; revoke those that nobody uses."


class Registry:
    """Reads and changes the record; every change is made under a lock and in one step."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._path = data / "nats" / RECORD

    def seed_path(self, name: str) -> Path:
        return self._data / FOLDER / f"{name}.nk"

    def identities(self) -> list[Identity]:
        """All there ever were, the revoked ones too. Raises RecordUnreadable."""
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            raise RecordUnreadable(path=str(self._path), why=str(error)) from error

    def active(self) -> list[Identity]:
        return [identity for identity in self.identities() if identity.active]

    def find(self, name: str) -> Identity:
        """The active identity of this name. Raises UnknownIdentity."""
        return _named(self.identities(), name)

    def enroll(
        self, actor: str, role: Role, projects: Sequence[str], out: Path | None = None
    ) -> tuple[Identity, Path]:
        """Make an identity and its key; returns it and where the seed is.

        Raises ReservedName, IdentityExists, FileExists, BadName or TooManyIdentities.
        """
        _check(actor, role, projects)
        found = tuple(sorted(set(projects)))
        with self._changing() as identities:
            identity, seed = _new(actor, role, (EVERY,) if EVERY in found else found)
            if any(each.active and each.name == identity.name for each in identities):
                raise IdentityExists(name=identity.name)
            path = out or self.seed_path(identity.name)
            _write_new(path, seed)
            identities.append(identity)
        return identity, path

    def revoke(self, name: str) -> Identity:
        """From the next reload of the server on nobody gets in with this key. Raises UnknownIdentity."""
        with self._changing() as identities:
            identity = _named(identities, name)
            _replace(identities, identity, revoked_at=datetime.now(UTC))
        path = self.seed_path(name)
        if _holds(path, identity.public_key):
            path.unlink(missing_ok=True)
        return identity

    def rotate(self, name: str, out: Path | None = None) -> tuple[Identity, Path]:
        """Another key for the same identity; the one before is revoked. Raises UnknownIdentity."""
        with self._changing() as identities:
            before = _named(identities, name)
            after, seed = _new(before.actor, before.role, before.projects)
            path = out or self.seed_path(name)
            if path.exists() and not _holds(path, before.public_key):
                raise FileExists(path=str(path))
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_private(path, f"{seed}\n".encode())
            _replace(identities, before, revoked_at=datetime.now(UTC))
            identities.append(after)
        return after, path

    def make_own(self) -> None:
        """See to it that the services and the local operator have identities, and we their seeds."""
        wanted: list[tuple[str, Role, tuple[str, ...]]] = [(name, "service", ()) for name in SERVICES]
        wanted.append((EVERY, "operator", (EVERY,)))
        with self._changing() as identities:
            for actor, role, projects in wanted:
                identity, seed = _new(actor, role, projects)
                known = [each for each in identities if each.active and each.name == identity.name]
                path = self.seed_path(identity.name)
                if any(_holds(path, each.public_key) for each in known):
                    continue
                for lost in known:
                    _replace(identities, lost, revoked_at=datetime.now(UTC))
                path.parent.mkdir(mode=0o700, exist_ok=True)
                write_private(path, f"{seed}\n".encode())
                identities.append(identity)

    @contextmanager
    def _changing(self) -> Iterator[list[Identity]]:
        """The record, to be changed in place; written when the body ends well."""
        self._path.parent.mkdir(mode=0o700, exist_ok=True, parents=True)
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            identities = self.identities()
            before = list(identities)
            yield identities
            if sum(each.active for each in identities) > MAX_IDENTITIES:
                raise TooManyIdentities(limit=MAX_IDENTITIES)
            if identities != before:
                write_private(self._path, msgspec.json.format(msgspec.json.encode(identities)))
        finally:
            os.close(lock)


def _check(actor: str, role: Role, projects: Sequence[str]) -> None:
    check_name("actor", actor)
    for project in projects:
        if project != EVERY:
            check_name("project", project)
    reserved = actor == LOCAL_OPERATOR or actor.startswith(SERVICE_PREFIX) or _KEY.fullmatch(actor)
    if role == "service" and actor not in (*SERVICES, ECHO):
        raise ReservedName(name=actor, role=role, why=f"the services are {', '.join(SERVICES)}")
    if role != "service" and reserved:
        raise ReservedName(name=actor, role=role, why="the name belongs to coordctl itself; choose another")
    if role != "service" and not 1 <= len(projects) <= MAX_PROJECTS:
        raise ReservedName(name=actor, role=role, why=f"name 1 to {MAX_PROJECTS} projects, or all")


def _new(actor: str, role: Role, projects: tuple[str, ...]) -> tuple[Identity, str]:
    seed = new_seed()
    identity = Identity(
        actor=actor,
        role=role,
        projects=() if role == "service" else projects,
        public_key=public_key(seed),
        created=datetime.now(UTC),
    )
    return identity, seed


def _write_new(path: Path, seed: str) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise FileExists(path=str(path)) from error
    with os.fdopen(handle, "w") as file:
        file.write(f"{seed}\n")


def _named(identities: Sequence[Identity], name: str) -> Identity:
    found = next((each for each in identities if each.active and each.name == name), None)
    if found is None:
        raise UnknownIdentity(name=name)
    return found


def _replace(identities: list[Identity], identity: Identity, *, revoked_at: datetime) -> None:
    place = identities.index(identity)
    identities[place] = msgspec.structs.replace(identity, revoked_at=revoked_at)


def _holds(path: Path, key: str) -> bool:
    """Whether the seed of this public key is in the file."""
    try:
        return public_key(read_seed(path)) == key
    except BadCredentials:
        return False
