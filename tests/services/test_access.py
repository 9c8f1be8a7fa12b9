"""Identities: their records and keys, what each may do, and the configuration that a server takes."""

import asyncio
import json
import stat
import subprocess
from pathlib import Path

import pytest

from services.access.keys import BadCredentials, public_key, read_seed
from services.access.permissions import permissions_of
from services.access.registry import (
    FileExists,
    IdentityExists,
    RecordUnreadable,
    Registry,
    ReservedName,
    UnknownIdentity,
)
from services.access.roles import MAY, table
from services.access.server_config import server_config
from services.bus.connection import connect
from services.config import Config, address_of, credentials_of, nats_door, servers, signed
from services.embedded import EmbeddedNats
from services.embedded.nats import binary
from services.embedded.reload import reload_users
from services.errors import BadName, NotAuthorized
from services.writer.shards import shard_of

SECURITY = Path(__file__).resolve().parent.parent.parent / "docs" / "security.md"


def test_a_key_is_written_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    identity, path = registry.enroll("a1", "worker", ["novel"])
    assert path == tmp_path / "credentials" / "a1.nk"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "nats" / "identities.json").stat().st_mode) == 0o600
    assert public_key(read_seed(path)) == identity.public_key
    assert path.read_text().strip() not in (tmp_path / "nats" / "identities.json").read_text()
    with pytest.raises(IdentityExists, match="rotate"):
        registry.enroll("a1", "planner", ["novel"])
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(FileExists):
        registry.enroll("a2", "worker", ["novel"], taken)
    assert taken.read_text() == "mine"
    assert [each.name for each in registry.active()] == ["a1"]


def test_names_that_would_be_somebody_elses_are_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    key = registry.enroll("a1", "worker", ["novel"])[0].public_key
    for actor in ("operator", "service-writer", key):
        with pytest.raises(ReservedName):
            registry.enroll(actor, "worker", ["novel"])
    with pytest.raises(ReservedName, match="writer"):
        registry.enroll("a2", "service", [])
    for actor in ("*", ">", "a.b", "_x", "", "a b"):
        with pytest.raises(BadName):
            registry.enroll(actor, "worker", ["novel"])
    for project in (">", "a.b", "a *"):
        with pytest.raises(BadName):
            registry.enroll("a2", "worker", [project])
    with pytest.raises(ReservedName, match="projects"):
        registry.enroll("a2", "worker", [])


def test_who_is_revoked_is_no_user_and_may_come_again_with_another_key(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    before, path = registry.enroll("a1", "worker", ["novel"])
    rotated, _ = registry.rotate("a1")
    assert rotated.public_key != before.public_key
    assert public_key(read_seed(path)) == rotated.public_key
    registry.revoke("a1")
    assert not path.exists()
    assert registry.active() == []
    assert [each.revoked_at is None for each in registry.identities()] == [False, False]
    with pytest.raises(UnknownIdentity):
        registry.revoke("a1")
    registry.enroll("a1", "observer", ["novel"])
    assert registry.find("a1").role == "observer"


def test_a_service_whose_seed_is_lost_gets_another_key_and_the_rest_keep_theirs(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.make_own()
    before = {each.name: each.public_key for each in registry.active()}
    assert len(before) == 6
    registry.seed_path("service-relay").unlink()
    registry.make_own()
    after = {each.name: each.public_key for each in registry.active()}
    assert {name for name in before if before[name] != after[name]} == {"service-relay"}


def test_a_damaged_record_lets_nobody_be_enrolled_over_it(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    record = tmp_path / "nats" / "identities.json"
    record.write_text("[{")
    with pytest.raises(RecordUnreadable):
        Registry(tmp_path).enroll("a1", "worker", ["novel"])
    assert record.read_text() == "[{"


def test_an_agent_may_name_only_itself_and_only_its_projects(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for role in ("worker", "planner", "operator", "observer"):
        permissions = permissions_of(registry.enroll(f"the-{role}", role, ["novel", "other"])[0])
        for subject in permissions.publish.allow:
            root, *rest = subject.split(".")
            if root == "$SRV":
                continue
            assert rest[0] in ("novel", "other"), subject
            if root == "_coord":
                assert rest[1:3] == [str(shard_of(rest[0])), f"the-{role}"], subject
            else:
                assert rest[1] == "get" or rest[1:3] == ["cmd", f"the-{role}"], subject
        assert not any(subject.startswith(("$JS", ">", "*")) for subject in permissions.subscribe.allow)


def test_an_operator_of_some_projects_takes_nothing_from_others(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    some = permissions_of(registry.enroll("some", "operator", ["novel"])[0]).publish.allow
    every = permissions_of(registry.enroll("every", "operator", ["*"])[0]).publish.allow
    assert not any(subject.endswith("project.fork") for subject in some)
    assert "coord.*.cmd.every.project.fork" in every


def test_only_the_relay_publishes_events_and_no_service_makes_consumers(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.make_own()
    allowed = {each.name: permissions_of(each).publish.allow for each in registry.active()}
    assert [name for name, subjects in allowed.items() if "coord.*.evt.>" in subjects] == ["service-relay"]
    services = [subject for name, subjects in allowed.items() if name != "operator" for subject in subjects]
    assert not any("CONSUMER" in each or "DELETE" in each or "PURGE" in each for each in services)
    assert allowed["service-projector"] == ["coordctl.report"]


@pytest.mark.parametrize("tls", [False, True])
def test_the_configuration_is_one_that_a_server_takes_and_holds_no_secret(tmp_path: Path, tls: bool) -> None:
    registry = Registry(tmp_path)
    registry.make_own()
    registry.enroll("a1", "worker", ["novel"])
    text = json.dumps(server_config(registry.active(), tls=tls))
    assert not any(path.read_text().strip() in text for path in (tmp_path / "credentials").glob("*.nk"))
    path = tmp_path / "own.conf"
    path.write_text(text)
    checked = subprocess.run(
        [binary(), "-t", "-c", path], capture_output=True, text=True, check=False, timeout=10
    )
    assert ("tls" in checked.stderr) if tls else checked.returncode == 0, checked.stderr


def test_a_running_server_lets_in_who_is_enrolled_now(fresh_nats: EmbeddedNats, data: Path) -> None:
    registry = Registry(data)
    _, path = registry.enroll("a1", "worker", ["novel"])
    url = signed(fresh_nats.address, path)
    with pytest.raises(NotAuthorized):
        asyncio.run(connect(url, "test"))
    assert reload_users(data)

    async def come() -> None:
        await (await connect(url, "test", actor="a1")).close()

    asyncio.run(come())
    assert not reload_users(data / "elsewhere")


def test_a_url_names_the_file_of_the_seed_and_never_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "a b,c@d?e.nk"
    url = signed("nats://a:1,nats://b:2", path)
    assert credentials_of(url) == path
    assert servers(url) == ["nats://a:1", "nats://b:2"]
    assert address_of(url) == "nats://a:1,nats://b:2"
    assert credentials_of("nats://u:p@a:1") is None
    with pytest.raises(BadCredentials, match="No such file"):
        read_seed(path)


def test_what_was_chosen_goes_before_the_operators_key_and_a_login_before_both(tmp_path: Path) -> None:
    config, seed = Config(data=tmp_path), tmp_path / "credentials" / "operator.nk"
    assert nats_door(config, "nats://a:1") == "nats://a:1"
    Registry(tmp_path).make_own()
    assert credentials_of(nats_door(config, "nats://a:1")) == seed
    assert nats_door(config, "nats://u:p@a:1") == "nats://u:p@a:1"
    chosen = Config.from_env({"COORD_DATA": str(tmp_path), "COORD_CREDENTIALS": "/run/a1.nk"})
    assert credentials_of(nats_door(chosen, "nats://a:1")) == Path("/run/a1.nk")


def test_the_page_on_security_has_the_table_of_roles() -> None:
    assert table() in SECURITY.read_text()
    assert len(MAY) > 0
