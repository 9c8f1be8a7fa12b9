"""A system whose every part a test can stop, and a Prometheus that watches it closely.

The servers are the test's own, the services are processes of the command line; so each can be killed, paused,
and left so, which a supervisor would not let happen.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
import yaml

from services.embedded import EmbeddedPostgres
from services.embedded.nats import free_addresses
from services.embedded.owner import server_owner
from services.embedded.postgres import DATABASE, SUPERUSER, reachable_binaries
from services.roster import SERVICES
from tests.acceptance.system import ROOT
from tests.conftest import temporary_data
from tests.monitoring.standby import Standby
from tests.services.disk import Disk, small_disk
from tests.services.nats_cluster import NODES, NatsCluster, running_cluster

RULES = ROOT / "ops" / "prometheus"
PATIENCE_S = 20
POLL_S = 0.1
STOP_TIMEOUT_S = 30
SCRAPE = "2s"
EVALUATE = "1s"
WINDOW = "15s"
"""In place of the minutes that rules look back."""

DISK_MEGABYTES = 300


class Site:
    """Postgres with a replica, three nats-servers that keep the stream, and every service."""

    def __init__(
        self, data: Path, postgres: EmbeddedPostgres, login: str, replica: Standby, nats: NatsCluster
    ) -> None:
        """`login` is how the services reach Postgres; the tests do as its superuser."""
        self.data = data
        self._login = login
        self.disk: Disk | None = None
        self.postgres = postgres
        self.replica = replica
        self.nats = nats
        self.port = int(free_addresses()[0].partition(":")[2])
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COORD_")}
        return {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "COORD_DATA": str(self.data),
            "COORD_DATABASE_URL": self._login,
            "COORD_NATS_URL": self.nats.url,
            "COORD_NATS_MONITOR_URL": self.nats.monitor_urls,
            "COORD_STREAM_REPLICAS": str(NODES),
            "COORD_HTTP_PORT": str(self.port),
        }

    def start(self, *services: str) -> None:
        """Start these services, and return when all are ready."""
        waiting = []
        for service in services:
            reading, writing = os.pipe()
            command = [sys.executable, "-m", "cli.main", "serve", service, "--ready-fd", str(writing)]
            with (self.data / f"{service}.log").open("ab") as log:
                self._children[service] = subprocess.Popen(
                    command, env=self.environ, stdout=log, stderr=log, pass_fds=[writing]
                )
            os.close(writing)
            waiting.append((service, reading))
        for service, reading in waiting:
            with os.fdopen(reading) as told:
                assert told.readline() == "ready\n", (self.data / f"{service}.log").read_text()

    def send(self, number: signal.Signals, service: str) -> None:
        self._children[service].send_signal(number)

    def kill(self, service: str) -> None:
        self._children[service].kill()
        self._children[service].wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        for child in self._children.values():
            child.send_signal(signal.SIGCONT)
            child.terminate()
        for child in self._children.values():
            child.wait(STOP_TIMEOUT_S)

    def get(self, path: str, status: int = 200) -> str:
        """What the gateway answers, with the operator's token."""
        token = (self.data / "credentials" / "operator.token").read_text().strip()
        return fetched(self.port, path, {"Authorization": f"Bearer {token}"}, status)


class Prometheus:
    """A server with the rules of `ops/prometheus`, which looks every two seconds."""

    def __init__(
        self, program: Path, folder: Path, target: str, shorter: Mapping[str, tuple[str, str]]
    ) -> None:
        self._folder = folder
        self._port = int(free_addresses()[0].partition(":")[2])
        for name in ("recording.yml", "alerts.yml"):
            (folder / name).write_text(hurried((RULES / name).read_text(), shorter))
        config = yaml.safe_load((RULES / "prometheus.yml").read_text())
        config["global"] = {
            "scrape_interval": SCRAPE,
            "scrape_timeout": SCRAPE,
            "evaluation_interval": EVALUATE,
        }
        config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        with (folder / "prometheus.log").open("wb") as log:
            self._child = subprocess.Popen(
                [
                    program,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log, stderr=log,
            )  # fmt: skip

    def query(self, query: str) -> list[Any]:
        """The samples that a query gives now."""
        answer = json.loads(fetched(self._port, f"/api/v1/query?{urlencode({'query': query})}"))
        assert answer["status"] == "success", f"{query}: {answer}"
        found: list[Any] = answer["data"]["result"]
        return found

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        return {sample["metric"]["alertname"] for sample in self.query('ALERTS{alertstate="firing"}')}

    def rules(self) -> list[Any]:
        """All rules, as it has loaded them."""
        groups = json.loads(fetched(self._port, "/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def is_ready(self) -> bool:
        assert self._child.poll() is None, (self._folder / "prometheus.log").read_text()
        try:
            fetched(self._port, "/-/ready")
        except (OSError, AssertionError):
            return False
        return True

    def stop(self) -> None:
        self._child.terminate()
        self._child.wait(STOP_TIMEOUT_S)


@contextmanager
def standing(
    data: Path, program: Path, shorter: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[Site, Prometheus]]:
    """All of it running, on a small disk where that can be had; nothing of it afterwards."""
    with ExitStack() as stack:
        disk = None
        with suppress(pytest.skip.Exception):
            disk = stack.enter_context(small_disk(data, DISK_MEGABYTES))
        postgres = EmbeddedPostgres(data)
        stack.callback(postgres.stop)
        postgres.start()
        login = services_login(postgres, data)
        replica = Standby(stack.enter_context(temporary_data()), postgres)
        stack.callback(replica.stop)
        replica.start()
        site = Site(data, postgres, login, replica, stack.enter_context(running_cluster(data)))
        site.disk = disk
        stack.callback(site.stop)
        site.start(*SERVICES)
        folder = stack.enter_context(temporary_data())
        prometheus = Prometheus(program, folder, f"127.0.0.1:{site.port}", shorter)
        stack.callback(prometheus.stop)
        eventually(prometheus.is_ready, "Prometheus is ready")
        yield site, prometheus


def services_login(postgres: EmbeddedPostgres, data: Path) -> str:
    """The address of Postgres for the login that services have in production, which is no superuser."""
    with psycopg.connect(postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE}")
        host = connection.info.host
    password = data / "password"
    password.write_text("a password")
    programs = reachable_binaries(data, server_owner())
    subprocess.run(
        ["/bin/sh", ROOT / "ops" / "postgres" / "coord.sh"], check=True, capture_output=True,
        timeout=STOP_TIMEOUT_S,
        env={"PATH": f"{programs}:{os.defpath}", "PGHOST": host, "COORD_PASSWORD_FILE": str(password)},
    )  # fmt: skip
    return postgres.url.replace(f"{SUPERUSER}@", "coord@")


def hurried(text: str, shorter: Mapping[str, tuple[str, str]]) -> str:
    """Rules that look back for seconds and do not wait; `shorter` are bounds of age of single alerts."""
    read: dict[str, Any] = yaml.safe_load(re.sub(r"\[\d+[mh]\]", f"[{WINDOW}]", text))
    for group in read["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
            before, after = shorter.get(rule.get("alert", ""), ("", ""))
            assert before in rule["expr"], f"{rule}: no {before}"
            rule["expr"] = rule["expr"].replace(before, after) if before else rule["expr"]
    return yaml.safe_dump(read)


def fetched(port: int, path: str, headers: Mapping[str, str] | None = None, status: int = 200) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path, headers=dict(headers or {}))
        answer = connection.getresponse()
        text = answer.read().decode()
        assert answer.status == status, f"{path}: {answer.status} {text}"
        return text
    finally:
        connection.close()


def eventually(holds: Callable[[], object], what: object, wait_s: float = PATIENCE_S) -> None:
    """Wait until it holds; `what` says what is missing then, and may change while it is waited for."""
    deadline = time.monotonic() + wait_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {wait_s} s: {what}"
        time.sleep(POLL_S)
