"""The containers' commands, environments and health checks, run as processes against servers started here.

The passwords and keys are those that `ops/setup.sh` makes, the users of nats-server the list it writes.
"""

import asyncio
import http.client
import json
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from services.bus.connection import connect
from services.config import signed
from services.embedded import EmbeddedPostgres
from services.embedded.nats import free_addresses, is_healthy
from services.embedded.owner import server_owner
from services.embedded.postgres import reachable_binaries
from services.errors import NotAuthorized
from services.roster import SERVICES
from tests.acceptance import compose as files
from tests.acceptance.compose import Container
from tests.acceptance.system import ROOT, eventually
from tests.conftest import temporary_data

COMMAND_TIMEOUT_S = 60
START_TIMEOUT_S = 120
ANSWER_TIMEOUT_S = 10
STOP_TIMEOUT_S = 30
LOGIN = "local coord coord scram-sha-256\n"
UNAVAILABLE = 5


class Site:
    """What `docker compose up` would have started, as far as this machine has the programs."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._compose = files.read(files.FILE)
        self._folder = folder
        self.nats, self.monitor = free_addresses()
        self.http = free_addresses()[0]
        self.postgres = EmbeddedPostgres(folder / "server")
        self._names = {
            "nats:4222": self.nats, "nats:8222": self.monitor, "8080": self.http.rpartition(":")[2],
        }  # fmt: skip
        self.programs: dict[str, subprocess.Popen[bytes]] = {}

    def container(self, name: str) -> Container:
        return Container(name, self._compose, self._folder, self._names)

    def run(self, name: str, *arguments: str, code: int = 0) -> str:
        """`docker compose run --rm NAME ARGUMENTS…`."""
        container = self.container(name)
        return self.call(container.command(*arguments), container.environ, code)

    def access(self, *arguments: str) -> None:
        """The container `access`; what it writes for nats-server names a folder of that one's container."""
        self.run("access", *arguments)
        nats = self.container("nats")
        users = nats.path("/etc/nats/access/server.json")
        users.write_text(nats.here(users.read_text()))

    def check(self, *names: str) -> list[int]:
        """The exit codes of these containers' health checks."""
        checks = [
            subprocess.Popen(
                container.check, env=container.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for container in map(self.container, names)
        ]
        return [check.wait(COMMAND_TIMEOUT_S) for check in checks]

    def call(self, command: list[str], environ: Mapping[str, str], code: int = 0) -> str:
        done = subprocess.run(
            command, env=environ, capture_output=True, text=True, check=False, timeout=COMMAND_TIMEOUT_S
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, name: str, *more: str) -> None:
        container = self.container(name)
        log = self._stack.enter_context((self._folder / f"{name}.log").open("wb"))
        program = subprocess.Popen(
            [*container.command(), *more], env=container.environ, stdout=log, stderr=log, cwd="/"
        )
        self.programs[name] = program

    def stop(self) -> None:
        """End what was started, nats-server last."""
        servers = [self.programs.pop("nats")] if "nats" in self.programs else []
        for programs in ([*self.programs.values()], servers):
            for program in programs:
                program.terminate()
            for program in programs:
                _ended(program)

    def start_postgres(self) -> None:
        """An empty server that asks the services' login for its password, prepared as its container is."""
        self._stack.callback(self.postgres.stop)
        self._stack.callback(self.stop)
        self.postgres.start()
        with psycopg.connect(self.postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE coord")
            hba = self._folder / "server" / "postgres" / "pg_hba.conf"
            hba.write_text(LOGIN + hba.read_text())
            connection.execute("SELECT pg_reload_conf()")
            where = connection.info.host
        self._names["?service=coord"] = f"?service=coord&host={where}&port=5432"
        self._names["--host=127.0.0.1"] = f"--host={where}"
        self.prepare_postgres()

    def prepare_postgres(self) -> None:
        """What is in /docker-entrypoint-initdb.d."""
        with psycopg.connect(self.postgres.url_of("postgres")) as connection:
            where = connection.info.host
        container = self.container("postgres")
        script = container.path("/docker-entrypoint-initdb.d/10-coord.sh")
        environ = container.environ | {
            "PGHOST": where,
            "PATH": f"{self.binaries}:{container.environ['PATH']}",
        }
        self.call([str(ROOT / script.resolve())], environ)

    @property
    def binaries(self) -> Path:
        return reachable_binaries(self._folder / "server", server_owner())

    def start_nats(self) -> None:
        self.start(
            "nats", "--addr", "127.0.0.1", "--port", self.nats.rpartition(":")[2],
            "--http_port", self.monitor.rpartition(":")[2],
        )  # fmt: skip
        eventually(lambda: is_healthy(self.monitor), "nats-server is healthy")

    def reload_nats(self) -> None:
        """`docker compose kill --signal HUP nats`, and until it has done so."""
        before = self._loaded()
        self.programs["nats"].send_signal(signal.SIGHUP)
        eventually(lambda: self._loaded() != before, "nats-server has read its users again")

    def _loaded(self) -> str:
        return str(json.loads(_answer(self.monitor, "/varz")[1])["config_load_time"])


def _ended(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    try:
        program.wait(STOP_TIMEOUT_S)
    finally:
        program.kill()


@contextmanager
def _running(folder: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(folder, stack)
        site.access()
        site.start_postgres()
        site.start_nats()
        assert site.check("writer") == [UNAVAILABLE]
        for name in SERVICES:
            site.start(name)
        eventually(lambda: _answer(site.http, "/readyz")[0] == 200, "ready", START_TIMEOUT_S)
        yield site


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with temporary_data() as folder, _running(folder) as running:
        yield running


def test_every_health_check_tells_that_its_service_works(site: Site) -> None:
    assert site.check(*SERVICES) == [0] * len(SERVICES)


def test_a_command_goes_through_all_of_it_and_is_backed_up(site: Site) -> None:
    site.run("coordctl", "task", "add", "Outline act two", "--persona", "plot")
    token = site.run("gateway", "access", "token", "create", "w1", "--role", "observer").strip()

    def titles() -> list[str]:
        status, body = _answer(site.http, "/api/main/queue", token)
        assert status == 200, body
        return [row["title"] for row in json.loads(body)["result"]]

    eventually(lambda: titles() == ["Outline act two"], "the task is in the queue")
    site.run("coordctl", "backup", "/backups/monday")


def test_metrics_tell_of_the_servers_too(site: Site) -> None:
    _, metrics = _answer(site.http, "/metrics")
    assert "coordctl_postgres_connections{" in metrics
    assert 'coordctl_part_up{part="writer"} 1.0' in metrics
    assert re.search(r"^coordctl_nats_healthy\{.*\} 1\.0$", metrics, re.MULTILINE)


def test_the_health_checks_of_the_servers_tell_whether_they_answer(site: Site) -> None:
    url = site.container("nats").check[-1]
    assert _answer(site.monitor, url.removeprefix("http://127.0.0.1:8222"))[0] == 200
    postgres = site.container("postgres")
    program, *arguments = postgres.check
    site.call([str(site.binaries / program), *arguments], postgres.environ)


def test_the_services_login_owns_its_database_and_nothing_else(site: Site) -> None:
    with psycopg.connect(site.postgres.url_of("coord")) as connection:
        rights = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'coord'"
        assert connection.execute(rights).fetchone() == (False, False, False)
        assert connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone()
    site.run("coordctl", "sql", "SELECT title FROM queue")


def test_secrets_are_for_their_owners_alone_and_each_volume_has_its_services(site: Site) -> None:
    access = site.container("access")
    for path in access.path("/keys").glob("*/*"):
        shared = path.parent.name in ("postgres", "grafana")
        assert stat.S_IMODE(path.stat().st_mode) == (0o640 if shared else 0o600), path
    for service in SERVICES:
        own = {path.name for path in access.path(f"/keys/{service}").iterdir()}
        assert own == {"database.conf", "service.nk"}
        seed = access.path(f"/var/lib/coordctl/credentials/service-{service}.nk")
        assert access.path(f"/keys/{service}/service.nk").read_text() == seed.read_text()


def test_who_is_enrolled_gets_in_after_a_signal_and_who_is_revoked_does_not(site: Site) -> None:
    site.access("enroll", "a1", "--role", "worker", "--project", "novel")
    seed = site.container("access").path("/var/lib/coordctl/credentials/a1.nk")
    url = signed(f"nats://{site.nats}", seed)
    kept = seed.read_text()
    site.reload_nats()

    async def come() -> None:
        await (await connect(url, "test", actor="a1")).close()

    asyncio.run(come())
    site.access("revoke", "a1")
    site.reload_nats()
    seed.write_text(kept)
    with pytest.raises(NotAuthorized):
        asyncio.run(come())


def test_another_password_for_the_database_is_taken_over_without_a_restart(site: Site) -> None:
    access = site.container("access")
    before = access.path("/var/lib/coordctl/passwords/coord").read_text()
    access.path("/var/lib/coordctl/passwords/coord").unlink()
    site.access()
    assert access.path("/var/lib/coordctl/passwords/coord").read_text() != before
    site.run("coordctl", "migrate", "--check", code=UNAVAILABLE)
    site.prepare_postgres()
    assert site.run("coordctl", "migrate", "--check").startswith("The tables have schema")


def test_prometheus_takes_the_command_line_of_its_container(site: Site, tmp_path: Path) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed, whose command line would be tried")
    container = site.container("prometheus")
    address = free_addresses()[0]
    command = [each.replace("=/prometheus", f"={tmp_path}") for each in container.command()]
    server = subprocess.Popen(
        [program, *command, f"--web.listen-address={address}"], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        path = container.check[-1].removeprefix("http://127.0.0.1:9090")
        eventually(lambda: _answer(address, path)[0] == 200, "Prometheus is ready")
    finally:
        _ended(server)


def _answer(address: str, path: str, token: str = "") -> tuple[int, str]:
    """Status and body of what is answered; 0 while nobody does."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()
