"""The account the database server runs as, and whether it can reach its files.

PostgreSQL refuses to run as root, so root lends it a system account of its own. That account gets the
directories of the database inside the data directory; their parents are left as they are.
"""

import os
import pwd
import shutil
import stat
import subprocess
import time
from pathlib import Path

from msgspec import Struct

from domain.errors import CoordError

ACCOUNT = "coordctl"
ACCOUNT_TIMEOUT_S = 10.0
RETRY_S = 0.1
FIRST_PERSON_UID = 1000  # below it are the accounts of the system, whose homes hold no one's files


class DataDirInHome(CoordError):
    code = "data_dir_in_home"
    says = (
        "As root the data directory must not lie in a home directory ({data} is in {home}), because the "
        "database runs as another account; choose one like /var/lib/coordctl with --data or COORD_DATA."
    )


class DataDirUnreachable(CoordError):
    code = "data_dir_unreachable"
    says = (
        "The account {account}, which runs the database, cannot enter {directory}; choose a data directory "
        "whose parents everyone may enter, with --data or COORD_DATA."
    )


class NoServerAccount(CoordError):
    code = "no_server_account"
    says = (
        "The system account {account} could not be created ({why}); create it, or run coordctl as an "
        "ordinary user."
    )


class Owner(Struct, frozen=True):
    """An account that files and processes can belong to."""

    name: str
    uid: int
    gid: int

    def cannot_enter(self, directory: Path) -> Path | None:
        """The first of `directory` and its parents that this account may not enter; None if it reaches it."""
        return next((d for d in (directory, *directory.parents) if not self._may_enter(d)), None)

    def _may_enter(self, directory: Path) -> bool:
        info = directory.stat()
        if info.st_uid == self.uid:
            return bool(info.st_mode & stat.S_IXUSR)
        return bool(info.st_mode & (stat.S_IXGRP if info.st_gid == self.gid else stat.S_IXOTH))


def server_owner() -> Owner:
    """The account for the database: our own, or as root the system account, created on first use."""
    if os.geteuid() != 0:
        return _owner(pwd.getpwuid(os.geteuid()))
    deadline = time.monotonic() + ACCOUNT_TIMEOUT_S
    while True:
        try:
            return _owner(pwd.getpwnam(ACCOUNT))
        except KeyError:
            why = _create_account()
        if (
            why and time.monotonic() > deadline
        ):  # another process may hold the lock on the accounts: try again
            raise NoServerAccount(account=ACCOUNT, why=why)
        time.sleep(RETRY_S if why else 0)


def make_data_dir(data: Path) -> None:
    """Create the data directory unless it is there; as root, refuse one that the database could not reach."""
    if os.geteuid() != 0:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        return
    _refuse_home(data)
    if not data.exists():
        data.mkdir(parents=True)
        data.chmod(0o711)  # whatever the umask: the database's account passes through, nobody lists
    owner = server_owner()
    if closed := owner.cannot_enter(data.resolve()):
        raise DataDirUnreachable(account=owner.name, directory=str(closed))


def make_private_dir(directory: Path, owner: Owner) -> None:
    """A directory that this account alone may enter, whatever it was before."""
    directory.mkdir(mode=0o700, exist_ok=True)
    os.chown(directory, owner.uid, owner.gid)
    directory.chmod(0o700)


def _refuse_home(data: Path) -> None:
    homes = {Path("/home"), Path("/Users")}
    people = [a for a in pwd.getpwall() if a.pw_uid == 0 or a.pw_uid >= FIRST_PERSON_UID]
    homes |= {Path(person.pw_dir) for person in people if person.pw_dir.startswith("/")}
    for home in sorted(homes - {Path("/")}):
        if data.resolve().is_relative_to(home.resolve()):
            raise DataDirInHome(data=str(data), home=str(home))


def _owner(account: pwd.struct_passwd) -> Owner:
    return Owner(account.pw_name, account.pw_uid, account.pw_gid)


def _create_account() -> str:
    """Ask the system for the account; empty on success, else why not."""
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    nologin = shutil.which("nologin", path="/usr/sbin:/sbin:/usr/bin:/bin") or "/bin/false"
    if useradd is None:
        raise NoServerAccount(account=ACCOUNT, why="this system has no useradd")
    made = subprocess.run(
        [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
         "--shell", nologin, ACCOUNT],
        capture_output=True, text=True, check=False, timeout=ACCOUNT_TIMEOUT_S,
    )  # fmt: skip
    return "" if made.returncode == 0 else made.stderr.strip() or f"useradd ended with {made.returncode}"
