"""Settings: per system, project and user; the known ones typed and bounded; each change an event."""

from typing import Any

import pytest

from domain.errors import InvalidCommand, InvalidSetting
from domain.settings import PROJECT_SETTINGS, USER_SETTINGS, SetSetting, SettingChanged, UnsetSetting
from tests.domain.given import given


def test_a_change_tells_the_old_and_the_new_value() -> None:
    changed = given().when("operator", SetSetting(key="max_agents", value=5))
    changed.then(SettingChanged(scope="project", key="max_agents", old=None, new=5))
    changed.when("operator", SetSetting(key="max_agents", value=6)).then(
        SettingChanged(scope="project", key="max_agents", old=5, new=6)
    )


def test_setting_what_is_already_so_changes_nothing() -> None:
    given(("operator", SetSetting(key="max_agents", value=5))).when(
        "operator", SetSetting(key="max_agents", value=5)
    ).then()


@pytest.mark.parametrize(("old", "new"), [(1, True), (1, 1.0), ([1], [True]), ({"on": 0}, {"on": False})])
def test_values_that_differ_only_as_json_are_a_change(old: Any, new: Any) -> None:
    given(("operator", SetSetting(key="flags", value=old))).when(
        "operator", SetSetting(key="flags", value=new)
    ).then_kinds(SettingChanged)


def test_unsetting_brings_the_default_back() -> None:
    scenario = given(("operator", SetSetting(key="max_agents", value=5)))
    scenario.when("operator", UnsetSetting(key="max_agents")).then(
        SettingChanged(scope="project", key="max_agents", old=5, unset=True)
    )
    assert scenario.ledger.setting("max_agents") == 19
    scenario.when("operator", UnsetSetting(key="max_agents")).then()


def test_null_is_a_value_of_its_own() -> None:
    scenario = given(("operator", SetSetting(key="note", value=None)))
    assert scenario.events == (SettingChanged(scope="project", key="note", old=None, new=None),)
    scenario.when("operator", SetSetting(key="note", value=None)).then()
    scenario.when("operator", UnsetSetting(key="note")).then_kinds(SettingChanged)


def test_users_have_settings_of_their_own() -> None:
    scenario = given().when("alice", SetSetting(scope="user", key="theme", value="dark"))
    scenario.then(SettingChanged(scope="user", user="alice", key="theme", new="dark"))
    scenario.when("operator", SetSetting(scope="user", user="bob", key="theme", value="light")).then(
        SettingChanged(scope="user", user="bob", key="theme", new="light")
    )
    assert scenario.the(SettingChanged).entity == "user.bob.theme"


def test_a_setting_the_system_does_not_know_holds_any_json() -> None:
    value = {"chapters": [1, 2, {"title": "Dawn"}]}
    given().when("operator", SetSetting(key="outline.shape", value=value)).then(
        SettingChanged(scope="project", key="outline.shape", new=value)
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("max_agents", 0, "a whole number, 1 or more, 100000 at most"),
        ("max_agents", 100_001, "a whole number, 1 or more, 100000 at most"),
        ("max_agents", 19.0, "a whole number, 1 or more, 100000 at most"),
        ("max_agents", True, "a whole number, 1 or more, 100000 at most"),
        ("max_agents", "19", "a whole number, 1 or more, 100000 at most"),
        ("max_agents", None, "a whole number, 1 or more, 100000 at most"),
        ("max_agents", [19], "a whole number, 1 or more, 100000 at most"),
        ("stale_after_s", 0.5, "a number, 1 or more, 86400 at most"),
        ("stale_after_s", "soon", "a number, 1 or more, 86400 at most"),
        ("default_lease_s", False, "a number, 1 or more, 86400 at most"),
    ],
)
def test_a_known_project_setting_refuses_what_it_cannot_be(key: str, value: Any, expected: str) -> None:
    given().when("operator", SetSetting(key=key, value=value)).rejected(
        InvalidSetting, key=key, expected=expected
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("theme", "pink", "one of light, dark, system"),
        ("theme", True, "one of light, dark, system"),
        ("language", "", "text"),
        ("language", 7, "text"),
        ("language", "x" * 65, "text"),
        ("onboarding_complete", 1, "true or false"),
        ("onboarding_complete", "yes", "true or false"),
        ("onboarding_step", -1, "a whole number, 0 or more, 1000 at most"),
    ],
)
def test_a_known_user_setting_refuses_what_it_cannot_be(key: str, value: Any, expected: str) -> None:
    given().when("alice", SetSetting(scope="user", key=key, value=value)).rejected(
        InvalidSetting, key=key, expected=expected
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("theme", "light"),
        ("language", "de-AT"),
        ("onboarding_complete", True),
        ("onboarding_complete", False),
        ("onboarding_step", 3),
    ],
)
def test_a_known_user_setting_takes_what_it_can_be(key: str, value: Any) -> None:
    given().when("alice", SetSetting(scope="user", key=key, value=value)).then(
        SettingChanged(scope="user", user="alice", key=key, new=value)
    )


def test_a_known_key_is_known_only_in_its_scope() -> None:
    given().when("operator", SetSetting(key="theme", value="pink")).then_kinds(SettingChanged)


def test_every_default_is_a_value_that_its_own_rule_allows() -> None:
    for key, known in {**PROJECT_SETTINGS, **USER_SETTINGS}.items():
        assert known.allows(known.default), key


def test_a_refused_value_is_quoted_shortly() -> None:
    refused = given().when("operator", SetSetting(key="max_agents", value="x" * 10_000)).refusal
    assert refused is not None
    assert len(str(refused)) < 300


def test_system_settings_are_the_defaults_of_every_project() -> None:
    system = given(("operator", SetSetting(scope="system", key="max_agents", value=3)), project="_system")
    project = given(defaults=system.ledger.settings)
    assert project.ledger.setting("max_agents") == 3
    system.when("operator", SetSetting(scope="system", key="max_agents", value=4))
    assert project.ledger.setting("max_agents") == 4
    project.when("operator", SetSetting(key="max_agents", value=7))
    assert project.ledger.setting("max_agents") == 7


def test_system_settings_are_set_in_the_system_project_and_nothing_else_is() -> None:
    given().when("operator", SetSetting(scope="system", key="max_agents", value=3)).rejected(InvalidCommand)
    given().when("operator", UnsetSetting(scope="system", key="max_agents")).rejected(InvalidCommand)
    given(project="_system").when("operator", SetSetting(key="max_agents", value=3)).rejected(InvalidCommand)


def test_system_settings_are_checked_like_those_of_projects() -> None:
    given(project="_system").when(
        "operator", SetSetting(scope="system", key="max_agents", value="many")
    ).rejected(InvalidSetting, key="max_agents")


def test_only_user_settings_name_a_user() -> None:
    given().when("operator", SetSetting(key="note", value=1, user="alice")).rejected(InvalidCommand)
