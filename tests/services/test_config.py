"""Where the doors are found: the environment first, then a living `up`."""

import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services import processes
from services.config import (
    Config,
    Doors,
    InvalidConfig,
    NotRunning,
    State,
    StateUnreadable,
    resolve,
    servers,
    without_password,
)


def state_of(pid: int) -> State:
    born = processes.created(pid)
    assert born is not None
    return State(
        pid=pid,
        created=born,
        database_url="postgresql://up/coord",
        nats_url="nats://up",
        http_url="http://up",
        services={"writer": 7},
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    environ = {
        "COORD_DATABASE_URL": "postgresql://db/x",
        "COORD_NATS_URL": "nats://n",
        "COORD_HTTP_PORT": "8080",
    }
    assert resolve(Config.from_env(environ, tmp_path)) == Doors(
        database_url="postgresql://db/x", nats_url="nats://n", http_url="http://127.0.0.1:8080"
    )


def test_a_living_up_is_found_and_the_environment_goes_before_it(tmp_path: Path) -> None:
    state_of(os.getpid()).save(tmp_path)
    config = Config.from_env({"COORD_DATA": str(tmp_path), "COORD_NATS_URL": "nats://mine"})
    assert resolve(config) == Doors(
        database_url="postgresql://up/coord", nats_url="nats://mine", http_url="http://up"
    )


def test_nothing_is_found_where_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="coordctl up"):
        resolve(Config.from_env({}, tmp_path))


def test_the_state_of_a_dead_up_counts_for_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as up:
        state_of(up.pid).save(tmp_path)
        resolve(Config.from_env({}, tmp_path))
        up.kill()
    with pytest.raises(NotRunning):
        resolve(Config.from_env({}, tmp_path))


def test_another_process_with_the_pid_of_a_dead_up_is_not_taken_for_it(tmp_path: Path) -> None:
    mine = state_of(os.getpid())
    State(
        pid=mine.pid,
        created=mine.created - 60,
        database_url=mine.database_url,
        nats_url=mine.nats_url,
        started_at=mine.started_at,
    ).save(tmp_path)
    with pytest.raises(NotRunning):
        resolve(Config.from_env({}, tmp_path))


def test_the_state_comes_back_as_it_was_saved_and_is_private(tmp_path: Path) -> None:
    state = state_of(os.getpid())
    state.save(tmp_path)
    state.save(tmp_path)
    assert State.load(tmp_path) == state
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600]
    State.remove(tmp_path)
    assert State.load(tmp_path) is None


def test_a_damaged_state_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(StateUnreadable, match=r"state\.json"):
        State.load(tmp_path)


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1", "²"])
def test_a_port_that_is_none_is_refused(port: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="COORD_HTTP_PORT"):
        Config.from_env({"COORD_HTTP_PORT": port}, tmp_path)


def test_passwords_do_not_show(tmp_path: Path) -> None:
    config = Config.from_env({"COORD_DATABASE_URL": "postgresql://u:secret@db/x"}, tmp_path)
    assert "secret" not in f"{config} {config!r}"


def test_a_cluster_is_named_by_its_servers_and_shown_without_their_passwords(tmp_path: Path) -> None:
    url = "nats://u:one,@a:4222, nats://u:two@b:4222,tls://c"
    assert servers("nats://u:p@a:4222, tls://b,") == ["nats://u:p@a:4222", "tls://b"]
    assert without_password(url) == "nats://u@a:4222, nats://u@b:4222,tls://c"
    assert without_password("postgresql://u:a@b,c@h:5432,g/db?x=1") == "postgresql://u@h:5432,g/db?x=1"
    assert without_password("postgresql:///db") == "postgresql:///db"


def test_replicas_are_odd_and_few(tmp_path: Path) -> None:
    given = {"COORD_STREAM_REPLICAS": "3", "COORD_DATABASE_URL": "d", "COORD_NATS_URL": "n"}
    assert resolve(Config.from_env(given, tmp_path)).stream_replicas == 3
    for wrong in ("2", "0", "7", "three"):
        with pytest.raises(InvalidConfig, match="COORD_STREAM_REPLICAS must be 1, 3 or 5"):
            Config.from_env({"COORD_STREAM_REPLICAS": wrong}, tmp_path)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "COORD_OTEL": "off"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"COORD_OTEL": "on"}, True),
        ({"COORD_OTEL": "on", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_traces_are_made_for_who_says_where_they_are_to_go(
    variables: dict[str, str], wanted: bool, tmp_path: Path
) -> None:
    assert Config.from_env(variables, tmp_path).traces is wanted
    with pytest.raises(InvalidConfig, match="COORD_OTEL"):
        Config.from_env({**variables, "COORD_OTEL": "maybe"}, tmp_path)
