"""The files for Prometheus and Grafana: their programs take them, and they agree with one another."""

import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml

from cli.main import coordctl
from tests.acceptance.system import ROOT
from tests.monitoring.table import documented
from tests.needs import needs_program

RULES = ROOT / "ops" / "prometheus"
RUNBOOKS = ROOT / "ops" / "runbooks"
GRAFANA = ROOT / "ops" / "grafana"
PAGE = ROOT / "docs" / "monitoring.md"
DASHBOARD = re.compile(r'dashboard "([^"]+)"')
CASES = sorted(f"tests/{path.name}" for path in (RULES / "tests").glob("*.yml"))
TIMEOUT_S = 120
PLACEHOLDERS = {"PRIORITY": "5"}
"""Words of runbooks for which a command wants something else than a name."""


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("test", "rules", *CASES)],
    ids=["config", "rules"],
)
def test_promtool_is_content_with(arguments: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [needs_program("promtool"), *arguments],
        cwd=RULES, capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_says_how_soon_for_whom_and_what_to_do() -> None:
    page = PAGE.read_text()
    for alert in alerts():
        name = alert["alert"]
        assert alert["labels"]["severity"] in {"critical", "warning"}, name
        assert alert["labels"]["audience"] in {"platform", "fleet"}, name
        assert set(alert["annotations"]) == {"summary", "description", "runbook"}, name
        runbook = (ROOT / alert["annotations"]["runbook"]).read_text()
        assert runbook.startswith(f"# {name}\n"), name
        for chapter in ("What it means", "How to see it", "What to do"):
            assert f"\n## {chapter}\n" in runbook, name
        row = rf"\| \[{name}\].* \| {alert['labels']['severity']} \| {alert['labels']['audience']} \|"
        assert re.search(row, page), f"docs/monitoring.md has no row for {name} as it is"


def test_there_is_no_runbook_and_no_case_without_its_alert() -> None:
    names = {alert["alert"] for alert in alerts()}
    assert {path.stem for path in RUNBOOKS.iterdir()} == names
    cases = (RULES / "tests" / "alerts.yml").read_text()
    assert set(re.findall(r'alertname="(\w+)"', cases)) == names


def commands_in(text: str) -> list[str]:
    """What a page tells to type: lines of their own, and words between backticks."""
    return re.findall(r"(?:^ {4}|`)(coordctl [a-z][^`\n]*)", text, re.MULTILINE)


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_what_a_runbook_tells_to_type_exists(page: Path) -> None:
    found = commands_in(page.read_text())
    assert found
    for line in found:
        _, *words = shlex.split(line)
        command: click.Command = coordctl
        context = click.Context(coordctl, info_name="coordctl")
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            inner = command.get_command(context, words.pop(0))
            assert inner is not None, line
            command = inner
        given = [PLACEHOLDERS.get(word, word) for word in words]
        command.make_context(command.name, given, parent=context)  # raises what it is not content with


def test_a_dashboard_that_a_runbook_names_is_there() -> None:
    boards = [json.loads(path.read_text()) for path in (GRAFANA / "dashboards").glob("*.json")]
    titles = {board["title"].partition(": ")[2] for board in boards}
    named = {name for page in RUNBOOKS.iterdir() for name in DASHBOARD.findall(page.read_text())}
    assert named
    assert {name.lower() for name in named} <= titles


def test_no_metric_has_a_label_that_grows_with_the_work() -> None:
    labels = {label for _, own in documented(PAGE).values() for label in own}
    assert not labels & {"agent", "task", "handoff", "actor", "persona", "command_id", "plan"}


def test_names_and_units_are_as_prometheus_wants_them() -> None:
    for name, (kind, _) in documented(PAGE).items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|millis|minutes|kb|mb|percent)(_|$)", name), name


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", GRAFANA / "make.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_dashboards_are_what_their_generator_writes() -> None:
    written = {path.name: path.read_text() for path in (GRAFANA / "dashboards").glob("*.json")}
    assert written == generator().rendered(), "run `python ops/grafana/make.py`"


def test_dashboards_are_pinned_and_find_their_datasource() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())
    (source,) = provisioned["datasources"]
    boards = [json.loads(path.read_text()) for path in (GRAFANA / "dashboards").glob("*.json")]
    assert {board["title"].partition(": ")[2] for board in boards} == {
        "overview", "agents and tasks", "log and lag", "learning",
    }  # fmt: skip
    assert len({board["uid"] for board in boards}) == len(boards)
    for board in boards:
        assert board["schemaVersion"] == generator().SCHEMA_VERSION
        places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
        assert not any(overlap(one, other) for one in places for other in places if one != other)
        assert len(set(places)) == len(places)
        used = {target["datasource"]["uid"] for panel in board["panels"] for target in panel["targets"]}
        assert used == {source["uid"]}


def overlap(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    (x, y, width, height), (left, top, wide, high) = one, other
    return x < left + wide and left < x + width and y < top + high and top < y + height
