"""The client and TLS: it comes when it can, says why it cannot, and keeps to TLS where it is asked for."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import coord
import pytest
from coord.bus import Bus

from services.embedded.nats import binary, free_addresses, is_healthy
from tests.acceptance.system import eventually
from tests.acceptance.test_deploy import _certify

PATIENCE_S = 30.0
WAIT_S = 0.2


@contextmanager
def server(address: str, monitor: str, *options: object) -> Iterator[None]:
    """One on this address, with TLS or without."""
    host, _, port = address.partition(":")
    running = subprocess.Popen(
        [binary(), "-a", host, "-p", port, "-m", monitor.rpartition(":")[2], *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: is_healthy(monitor), "nats-server is healthy")
        yield
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def tls(tmp_path: Path) -> list[object]:
    """The options of a server whose certificate nobody trusts."""
    _certify(tmp_path)
    return ["--tls", "--tlscert", tmp_path / "server.crt", "--tlskey", tmp_path / "server.key"]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coord.bus.MAX_BACKOFF_S", 0.1)


async def kept_out(bus: Bus, why: str) -> None:
    """Return when the client says that this is why it has no connection."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with pytest.raises(coord.Away) as away:
                await bus.until_connected(WAIT_S)
            if why in str(away.value):
                return


@pytest.mark.usefixtures("impatient")
def test_a_certificate_that_is_not_trusted_ends_an_attempt_and_the_next_may_go_well(
    tls: list[object],
) -> None:
    address, monitor = free_addresses()

    async def story() -> None:
        bus = Bus(f"nats://{address}", "a1", None)
        await bus.open(0)
        try:
            with server(address, monitor, *tls):
                await kept_out(bus, "CERTIFICATE_VERIFY_FAILED")
            with server(address, monitor):
                await bus.until_connected(PATIENCE_S)
        finally:
            await bus.close()

    asyncio.run(story())


@pytest.mark.usefixtures("impatient")
def test_an_address_that_asks_for_tls_is_never_spoken_to_without(
    tls: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.crt"))
    address, monitor = free_addresses()

    async def story() -> None:
        bus = Bus(f"tls://localhost:{address.rpartition(':')[2]}", "a1", None)
        await bus.open(0)
        try:
            with server(address, monitor):
                await kept_out(bus, "offers no TLS")
            with server(address, monitor, *tls):
                await bus.until_connected(PATIENCE_S)
        finally:
            await bus.close()

    asyncio.run(story())
