"""The compose files: Compose takes them, they hold no secret, and each service has what it needs alone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from services.roster import SERVICES, service_of
from tests.acceptance import compose as files
from tests.acceptance.system import ROOT

SCHEMA = ROOT / "tests" / "data" / "compose" / "compose-spec.json"
TLS = {"COORD_HOST": "coord.example.org", "COORD_TLS": "/etc/coordctl/tls"}
OURS = {"writer", "writer-2", "relay", "projector", "projector-2", "gateway", "recall"}
OTHERS = {"postgres", "nats", "prometheus", "grafana"}
SECRET = re.compile(r"\bS[UANCO][A-Z2-7]{56}\b|BEGIN [A-Z ]*PRIVATE KEY|coord_[0-9a-f]{12}_")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return files.read(files.FILE)


@pytest.mark.parametrize("path", [files.FILE, files.TLS_FILE], ids=["plain", "tls"])
def test_it_is_what_the_compose_specification_allows(path: Path) -> None:
    schema = json.loads(SCHEMA.read_text())
    errors = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in Draft202012Validator(schema).iter_errors(files.read(path, **TLS))
    ]
    assert errors == []


def test_everything_is_there_and_comes_back_by_itself(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == OURS | OTHERS | {"access", "coordctl"}
    for name in OURS | OTHERS:
        assert services[name]["restart"] == "unless-stopped", name
        assert services[name]["healthcheck"]["test"][0] == "CMD", name
    assert services["writer-2"] == services["writer"]
    assert services["projector-2"] == services["projector"]
    for name in OURS:
        assert services[name]["command"][:2] == ["serve", service_of(name)]
        assert services[name]["depends_on"] == {
            "access": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy"},
            "nats": {"condition": "service_healthy"},
        }


def test_no_service_can_do_more_to_the_machine_than_it_must(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        if "build" not in service:
            assert service["user"].split(":")[0] not in ("0", "root"), name
            assert re.search(r":[^:]*\d+\.\d+", service["image"]), f"{name}: {service['image']}"


def test_only_the_loopback_address_can_be_reached_and_the_database_by_nobody(compose: dict[str, Any]) -> None:
    published = {name: service.get("ports", []) for name, service in compose["services"].items()}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert {name for name, ports in published.items() if ports} == {
        "nats",
        "gateway",
        "prometheus",
        "grafana",
    }
    assert compose["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "writer", "relay", "projector", "coordctl"):
        assert compose["services"][name]["networks"] == ["inside"], name
    assert compose["services"]["access"]["network_mode"] == "none"


def test_no_secret_is_in_a_file_or_in_the_environment(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            assert not re.search(r"://[^/?]*@", str(value)), f"{name}: {variable}"
            if re.search("PASSWORD|SECRET|TOKEN|SEED", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert value.startswith("/run/coordctl/"), f"{name}: {variable}"
    tracked = [path for path in (ROOT / "ops").rglob("*") if path.is_file()]
    for path in [*tracked, files.FILE]:
        text = path.read_text()
        assert not re.search(
            r"\bS[UANCO][A-Z2-7]{56}\b|BEGIN [A-Z ]*PRIVATE KEY|coord_[0-9a-f]{12}_", text
        ), path


def test_each_service_sees_its_own_secrets_and_may_not_change_them(compose: dict[str, Any]) -> None:
    kept = {source: target for source, target, _ in files.mounts(compose["services"]["access"])}
    assert kept["access"] == "/var/lib/coordctl"
    for name in OURS | OTHERS:
        seen = [(source, may_write) for source, _, may_write in files.mounts(compose["services"][name])]
        secret = [each for each in seen if each[0] in kept]
        own = {"nats": ["nats-users"], "prometheus": []}.get(name, [f"{service_of(name)}-keys"])
        assert secret == [(source, False) for source in own], name
    assert {f"/keys/{service}" for service in SERVICES} <= set(kept.values())


def test_what_is_mounted_exists(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for source, _, may_write in files.mounts(service):
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
                assert not may_write, f"{name}: {source}"
            else:
                assert source in compose["volumes"], f"{name}: {source}"


def test_tls_is_laid_over_what_is_there_and_everybody_goes_by_the_certificates_name(
    compose: dict[str, Any],
) -> None:
    over = files.read(files.TLS_FILE, **TLS)["services"]
    assert set(over) == OURS | {"nats", "coordctl"}
    for name in set(over) - {"nats"}:
        assert over[name] == {"environment": {"COORD_NATS_URL": "tls://coord.example.org:4222"}}, name
    assert over["nats"]["networks"]["inside"]["aliases"] == ["coord.example.org"]
    assert "ports" not in over["nats"]
    for source, _, _ in files.mounts(over["nats"]):
        assert not source.startswith(".") or (ROOT / source).exists()
    ports = files.read(files.FILE, COORD_NATS_ADDRESS="192.0.2.1")["services"]["nats"]["ports"]
    assert ports == ["192.0.2.1:4222:4222"]


def test_what_may_be_set_is_in_the_example_and_nothing_must_be(compose: dict[str, Any]) -> None:
    asked = set(re.findall(r"\$\{(\w+)", files.FILE.read_text() + files.TLS_FILE.read_text()))
    example = (ROOT / "ops" / "env.example").read_text()
    assert asked == set(re.findall(r"^#(\w+)=", example, re.MULTILINE))
    assert not [line for line in example.splitlines() if line and not line.startswith("#")]


def test_prometheus_asks_the_gateway_by_a_name_it_goes_by(compose: dict[str, Any]) -> None:
    config = yaml.safe_load((ROOT / "ops" / "prometheus" / "prometheus.yml").read_text())
    targets = [
        target
        for job in config["scrape_configs"] if job["job_name"] == "coordctl"
        for group in job["static_configs"] for target in group["targets"]
    ]  # fmt: skip
    gateway = compose["services"]["gateway"]["environment"]
    assert targets == [f"gateway:{gateway['COORD_HTTP_PORT']}"]
    assert "gateway" in gateway["COORD_HTTP_HOSTS"].split()
