"""The files an operator deploys: they name what exists, hold no secret, and their programs take them."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from cli.main import coordctl
from services.embedded.nats import binary
from services.roster import SERVICES
from services.writer.shards import MAPPINGS
from tests.acceptance.system import ROOT

CHECK_TIMEOUT_S = 20
HEALTHY = {"condition": "service_healthy"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return read


def test_every_service_is_there_with_a_health_check_and_comes_back(compose: dict[str, Any]) -> None:
    assert set(SERVICES) | {"postgres", "nats"} <= set(compose["services"])
    for name, service in compose["services"].items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
    for name in SERVICES:
        assert compose["services"][name]["depends_on"] == {"postgres": HEALTHY, "nats": HEALTHY}


def test_what_it_runs_are_commands_of_coordctl(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        service = compose["services"][name]
        for command in (service["command"], service["healthcheck"]["test"][2:]):
            assert command[:2] == ["serve", name]
            answer = CliRunner().invoke(coordctl, [*command, "--help"])
            assert answer.exit_code == 0, answer.output
            assert all(option in answer.output for option in command if option.startswith("--"))


def test_it_holds_no_secret_and_asks_for_those_it_needs(compose: dict[str, Any]) -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / "ops" / "env.example").read_text()
    offered = dict(line.split("=") for line in example.splitlines() if line and not line.startswith("#"))
    assert offered == dict.fromkeys(asked, "")
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable:
                assert value.startswith("${"), f"{name}: {variable}"
            assert not re.search(r"://\w+:[^$]", str(value)), f"{name}: {variable}"


def test_ports_are_published_on_the_loopback_address_alone(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def test_services_run_without_privileges_and_images_have_versions(compose: dict[str, Any]) -> None:
    for name in SERVICES:
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert (ROOT / service["build"]["dockerfile"]).exists()
    for name, service in compose["services"].items():
        if "build" not in service:
            assert re.search(r":[^:]*\d", service["image"]), f"{name}: {service['image']}"
    containerfile = (ROOT / "ops" / "Containerfile").read_text().splitlines()
    assert [line for line in containerfile if line.startswith("USER")] == ["USER 10001:10001"]


def test_files_that_are_mounted_exist(compose: dict[str, Any]) -> None:
    mounted = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
    ]
    for source in mounted:
        assert (ROOT / source).exists() if source.startswith(".") else source in compose["volumes"], source


@pytest.mark.parametrize("name", ["nats.conf", "cluster.conf"])
def test_nats_accepts_its_configuration(name: str) -> None:
    checked = subprocess.run(
        [binary(), "-t", "-c", ROOT / "ops" / "nats" / name],
        capture_output=True, text=True, check=False, timeout=CHECK_TIMEOUT_S,
        env={**os.environ, "NATS_PASSWORD": "s3cret", "NATS_SERVER_NAME": "nats-1"},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


def test_an_operators_nats_maps_commands_to_shards_as_the_embedded_one_does() -> None:
    text = (ROOT / "ops" / "nats" / "nats.conf").read_text()
    assert dict(re.findall(r'^  "(.+)": "(.+)"$', text, re.MULTILINE)) == MAPPINGS


def test_prometheus_scrapes_the_gateway_where_it_listens(compose: dict[str, Any]) -> None:
    path = ROOT / "ops" / "prometheus" / "prometheus.yml"
    (job,) = yaml.safe_load(Path(path).read_text())["scrape_configs"]
    port = compose["services"]["gateway"]["environment"]["COORD_HTTP_PORT"]
    assert job["static_configs"] == [{"targets": [f"gateway:{port}"]}]
    assert job["honor_labels"] is True
