"""Three real nats-servers on loopback that form a cluster, each free to be killed and started again.

They are configured as the embedded server is, so what it maps and turns off holds here too.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from services.embedded.nats import Authorization, Settings, Storage, binary, free_addresses, is_healthy

NODES = 3
USER = "coordctl"
PASSWORD = "p-of-the-cluster"
WAIT_S = 30.0
POLL_S = 0.05


class Node:
    """One server of the cluster."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name = f"server-{number}"
        self.address, self.route = free_addresses()
        self.monitor, _ = free_addresses()
        self._folder = folder / self.name
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://{USER}:{PASSWORD}@{self.address}"

    @property
    def monitor_url(self) -> str:
        return f"http://{self.monitor}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "it has not been started"
        return self._process.pid

    def configure(self, routes: list[str]) -> None:
        """Write its configuration: the embedded server's, as one of a cluster with these routes."""
        self._folder.mkdir()
        settings = Settings(
            listen=self.address,
            http=self.monitor,
            authorization=Authorization(),
            jetstream=Storage(str(self._folder / "jetstream")),
            log_file=str(self._folder / "server.log"),
            server_name=self.name,
        )
        cluster = {
            "name": "coordctl",
            "listen": self.route,
            "routes": [f"nats://{route}" for route in routes],
        }
        login = {"user": USER, "password": PASSWORD}  # as an operator's own servers may have it
        own = {"cluster": cluster, "authorization": login}
        self._config.write_bytes(msgspec.json.encode(msgspec.to_builtins(settings) | own))

    def start(self) -> None:
        self._process = subprocess.Popen([binary(), "-c", self._config])

    def until_healthy(self) -> None:
        """Wait until it serves clients, and its JetStream has caught up with the others'."""
        deadline = time.monotonic() + WAIT_S
        while not is_healthy(self.monitor):
            assert time.monotonic() < deadline, f"{self.name} is not healthy"
            time.sleep(POLL_S)

    def kill(self) -> None:
        """As a machine that loses its power; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def _config(self) -> Path:
        return self._folder / "server.conf"


class NatsCluster:
    """The servers, by their names."""

    def __init__(self, folder: Path) -> None:
        self.nodes = {node.name: node for node in (Node(number, folder) for number in range(NODES))}

    @property
    def url(self) -> str:
        """As COORD_NATS_URL names a cluster."""
        return ",".join(node.url for node in self.nodes.values())

    @property
    def monitor_urls(self) -> str:
        """As COORD_NATS_MONITOR_URL names them."""
        return ",".join(node.monitor_url for node in self.nodes.values())

    def start(self) -> None:
        for node in self.nodes.values():
            node.start()

    def until_healthy(self) -> None:
        for node in self.nodes.values():
            node.until_healthy()

    def kill(self) -> None:
        for node in self.nodes.values():
            node.kill()


@contextmanager
def running_cluster(folder: Path) -> Iterator[NatsCluster]:
    """A healthy cluster that keeps its files in the folder; nothing of it is left running."""
    cluster = NatsCluster(folder)
    routes = [node.route for node in cluster.nodes.values()]
    with ExitStack() as stack:
        stack.callback(cluster.kill)
        for node in cluster.nodes.values():
            node.configure(routes)
        cluster.start()
        cluster.until_healthy()
        yield cluster
