"""Settings as they were set, as they hold, and as they changed."""

from domain.messages import SYSTEM_PROJECT
from domain.settings import PROJECT_SETTINGS, SetSetting, UnsetSetting
from projections.settings import SETTING_HISTORY, SETTINGS, EffectiveSetting, SettingParams, effective
from tests.projections.stories import Story, folded


def holding(story: Story, *others: Story, user: str | None = None) -> dict[tuple[str, str], EffectiveSetting]:
    history = [recorded for each in (story, *others) for recorded in each.history]
    rows = list(folded(SETTINGS, history).values())
    return {(each.user, each.key): each for each in effective(rows, SettingParams(user=user))}


def test_a_setting_keeps_its_last_value_and_is_marked_when_unset() -> None:
    story = Story()
    story.do("op", SetSetting(key="max_agents", value=3), SetSetting(key="max_agents", value=4))
    assert [(row.value, row.set_by) for row in story.rows(SETTINGS).values()] == [(4, "op")]
    story.do("op", UnsetSetting(key="max_agents"))
    assert [(row.value, row.unset) for row in story.rows(SETTINGS).values()] == [(None, True)]


def test_every_change_stays_in_the_history() -> None:
    story = Story()
    story.do("op", SetSetting(key="max_agents", value=3))
    story.do("boss", UnsetSetting(key="max_agents"))
    changes = [(row.old, row.new, row.unset, row.by) for row in story.rows(SETTING_HISTORY).values()]
    assert changes == [(None, 3, False, "op"), (3, None, True, "boss")]


def test_the_project_goes_before_the_system_and_the_system_before_the_default() -> None:
    story, system = Story(), Story(SYSTEM_PROJECT)
    system.do("root", SetSetting(key="max_agents", value=50, scope="system"))
    system.do("root", SetSetting(key="stale_after_s", value=9.5, scope="system"))
    story.do("op", SetSetting(key="max_agents", value=7), SetSetting(key="colour", value="red"))
    found = holding(story, system)
    told = {key: (each.value, each.source, each.set_by) for (_, key), each in found.items()}
    assert told == {
        **{key: (known.default, "built-in", None) for key, known in PROJECT_SETTINGS.items()},
        "max_agents": (7, "project", "op"),
        "stale_after_s": (9.5, "system", "root"),
        "colour": ("red", "project", "op"),
    }
    assert found["", "max_agents"].default == 19


def test_a_user_has_the_defaults_beside_what_was_set() -> None:
    story = Story()
    story.do("ann", SetSetting(scope="user", key="theme", value="dark"))
    story.do("bob", SetSetting(scope="user", key="theme", value="light"))
    assert {user for user, _ in holding(story)} == {"", "ann", "bob"}
    found = holding(story, user="ann")
    assert (found["ann", "theme"].value, found["ann", "theme"].source) == ("dark", "user")
    assert (found["ann", "language"].value, found["ann", "language"].source) == ("en", "built-in")
    assert ("bob", "theme") not in found


def test_a_value_of_null_is_a_value() -> None:
    story = Story()
    story.do("op", SetSetting(key="note", value=None))
    assert holding(story)["", "note"].source == "project"
