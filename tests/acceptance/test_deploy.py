"""What is deployed: the image's recipe, the systemd units, the configurations of nats-server."""

import asyncio
import os
import re
import shutil
import subprocess
import sysconfig
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.access.registry import Registry
from services.access.server_config import server_config
from services.bus.connection import connect
from services.config import signed
from services.embedded.nats import binary, free_addresses, is_healthy
from services.errors import Unavailable
from services.roster import SERVICES
from tests.acceptance.system import ROOT, eventually

OPS = ROOT / "ops"
UNITS = OPS / "systemd"
CHECK_TIMEOUT_S = 30
EXPOSED_MOST = 20
"""Of 100, as `systemd-analyze security` reckons it; a unit that says nothing has 96."""


def _services() -> list[str]:
    return sorted(path.name for path in UNITS.glob("*.service"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The units as they are installed, with programs that are there."""
    folder = tmp_path_factory.mktemp("systemd")
    shutil.copytree(UNITS, folder, dirs_exist_ok=True)
    for unit in folder.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/coordctl/bin/", f"{_programs()}/"))
    (folder / "postgresql.service").write_text("[Service]\nExecStart=/bin/true\n")
    return folder


def _programs() -> Path:
    return Path(sysconfig.get_path("scripts"))


def _analyze(*arguments: str, units: Path) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed, which would check the units")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=CHECK_TIMEOUT_S,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
    )  # fmt: skip


def test_systemd_understands_every_unit(installed: Path) -> None:
    names = [name.replace("@.", "@1.") for name in _services()]
    paths = [str(installed / name) for name in (*names, "coordctl.target", "coordctl-backup.timer")]
    checked = _analyze("verify", "--man=no", *paths, units=installed)
    about_ours = [line for line in checked.stderr.splitlines() if "coordctl" in line]
    assert about_ours == []


@pytest.mark.parametrize("name", _services())
def test_a_unit_can_do_little_beside_its_work(installed: Path, name: str) -> None:
    judged = _analyze(
        "security", "--no-pager", "--offline=true", f"--threshold={EXPOSED_MOST}", name.replace("@.", "@1."),
        units=installed,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_units_run_the_services_with_credentials_of_their_own_and_hold_no_secret() -> None:
    for name in SERVICES:
        (path,) = UNITS.glob(f"coordctl-{name}*.service")
        unit = _unit(path)
        assert unit["Service"]["ExecStart"] == [f"/opt/coordctl/bin/coordctl serve {name}"]
        assert unit["Service"]["LoadCredential"] == [
            "database.conf:/var/lib/coordctl/database.conf",
            f"service.nk:/var/lib/coordctl/credentials/service-{name}.nk",
        ]
        environment = " ".join(unit["Service"]["Environment"]).split()
        assert "COORD_CREDENTIALS=%d/service.nk" in environment
        assert "PGSERVICEFILE=%d/database.conf" in environment
        assert not [each for each in environment if re.search(r"PASSWORD|://[^/?]*@", each)]
    users = {_unit(UNITS / name)["Service"]["User"][0] for name in _services()}
    assert len(users) == len(_services())


def test_the_target_starts_all_of_them() -> None:
    for name in (*_services(), "coordctl-backup.timer"):
        if name == "coordctl-backup.service":
            continue
        unit = _unit(UNITS / name)
        assert unit["Unit"]["PartOf"] == ["coordctl.target"]
        assert unit["Install"]["WantedBy"] == ["coordctl.target"]


def _unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """A unit's sections, each setting with all its values."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(section, {}).setdefault(name, []).append(value)
    return found


def test_a_linter_finds_nothing_in_the_image() -> None:
    linter = _programs() / "hadolint"
    judged = subprocess.run(
        [linter, "--no-color", OPS / "Dockerfile"], capture_output=True, text=True, check=False,
        timeout=CHECK_TIMEOUT_S,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_no_image_runs_as_root_and_what_is_copied_is_there() -> None:
    stages = (OPS / "Dockerfile").read_text().split("\nFROM ")[1:]
    for stage in stages:
        if "AS build" not in stage:
            assert re.findall(r"^USER (.+)$", stage, re.MULTILINE) == ["10001:10001"]
    kept = (OPS / "Dockerfile.dockerignore").read_text()
    for name in re.findall(r"^!(.+)$", kept, re.MULTILINE):
        assert (ROOT / name).exists(), name
    packages = re.search(r"^include = \[(.+)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert packages is not None
    for package in re.findall(r'"(\w+)\*"', packages[1]):
        assert f"!{package}\n" in kept


@pytest.fixture
def nats_folder(tmp_path: Path) -> Path:
    """The configurations with the users of a data directory, `tmp_path`, and a certificate for localhost."""
    folder = tmp_path / "etc"
    shutil.copytree(OPS / "nats", folder)
    registry = Registry(tmp_path)
    registry.make_own()
    (folder / "access").mkdir()
    users = server_config(registry.active(), tls=False) | {
        "jetstream": {"store_dir": str(tmp_path / "stream")}
    }
    (folder / "access" / "server.json").write_bytes(msgspec.json.encode(users))
    _certify(folder)
    tls = folder / "tls.conf"
    tls.write_text(tls.read_text().replace("/etc/nats/tls", str(folder)))
    return folder


@pytest.mark.parametrize("name", ["container.conf", "nats.conf", "cluster.conf", "tls.conf"])
def test_nats_takes_its_configuration_with_the_users_there_are(nats_folder: Path, name: str) -> None:
    checked = subprocess.run(
        [binary(), "-t", "-c", nats_folder / name],
        capture_output=True, text=True, check=False, timeout=CHECK_TIMEOUT_S,
        env={**os.environ, "NATS_SERVER_NAME": "nats-1"},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "password" not in (OPS / "nats" / name).read_text()


def test_by_tls_come_those_who_trust_the_certificate_and_with_a_key(
    nats_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, monitor = free_addresses()
    port = client.rpartition(":")[2]
    server = subprocess.Popen(
        [binary(), "-c", nats_folder / "tls.conf", "-a", "127.0.0.1", "-p", port,
         "-m", monitor.rpartition(":")[2]],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = signed(f"tls://localhost:{port}", Registry(tmp_path).seed_path("service-relay"))

    async def come() -> None:
        await (await connect(url, "test")).close()

    try:
        eventually(lambda: is_healthy(monitor), "nats-server is healthy")
        with pytest.raises(Unavailable):
            asyncio.run(come())
        monkeypatch.setenv("SSL_CERT_FILE", str(nats_folder / "server.crt"))
        asyncio.run(come())
    finally:
        server.kill()
        server.wait()


def _certify(folder: Path) -> None:
    """A certificate for localhost that is its own authority, and its key."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "t")]),
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(private)
