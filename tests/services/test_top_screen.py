"""`coordctl top` as people use it: keys on a real log and real tables, and what is then on the screen."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Identifier
from rich.text import Text
from textual.app import App, ComposeResult

from cli.top import VIEWS
from cli.top_columns import COLUMNS, KEYS
from cli.top_lines import Lines, Listing
from domain.handoffs import Baggage, InitiateHandoff
from domain.knowledge.complexity import Measured, SnapshotComplexity
from domain.knowledge.decisions import RecordDecision
from domain.knowledge.documentation import CacheDocumentation
from domain.knowledge.patterns import DefinePattern
from domain.knowledge.spikes import InitiateSpike
from domain.learning import CloseEstimate, RecordEstimate, RecordFailure
from domain.memory import StoreMemory
from domain.tasks.commands import (
    ClaimTask,
    EnqueuePlan,
    EnqueueTask,
    FailTask,
    PlannedTask,
    ReportProgress,
)
from projections.catalog import PROJECTIONS
from services.config import NotRunning
from services.embedded import EmbeddedPostgres
from services.log.event_log import EventLog
from services.reading.replay import replay
from services.top.tabs import FLEET, HANDED, KNOWN, LEARNED, TABS, TASKS, TIMELINE
from tests.conftest import temporary_database
from tests.services.conftest import opened_log
from tests.services.running import CODEC
from tests.services.screens import Screen, screen
from tests.services.stage import Stage

BAGGAGE = Baggage(goal="an end")
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with temporary_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def log(url: str) -> Iterator[EventLog]:
    with opened_log(url) as log:
        yield log


@pytest.fixture
def stage(log: EventLog, url: str) -> Stage:
    """A few agents on a few tasks: one is worked on, one blocked, one has failed, one is offered."""
    stage = Stage(log, url)
    saga = stage.saga
    saga.staff("main")
    saga.do("main", "op", EnqueueTask(id="write", title="Write the chapter"))
    saga.do("main", "op", EnqueueTask(id="print", title="Print the book", depends_on=("write",)))
    saga.do("main", "op", EnqueueTask(id="draw", title="Draw the cover"))
    saga.do("main", "a1", ClaimTask(task="write"), ReportProgress(task="write", fence=1, percent=40))
    saga.do("main", "a2", ClaimTask(task="draw"))
    saga.do("main", "a2", FailTask(task="draw", fence=1, error="no ink", retryable=False))
    offer = InitiateHandoff(task="write", fence=1, to_agent="a3", context=BAGGAGE, reason="tired")
    saga.do("main", "a1", offer)
    saga.do("main", "a2", RecordFailure(feature="cover", approach="ink", why="dry", lesson="buy more"))
    estimate = saga.stories["main"].do("a2", RecordEstimate(feature="cover", sessions=2, complexity=3))
    saga.do("main", "a2", CloseEstimate(estimate=estimate[0].entity, sessions=3))
    stage.project()
    return stage


def test_what_happens_is_seen_as_it_happens(stage: Stage) -> None:
    async def watch() -> None:
        async with screen(lambda: stage.url, TASKS) as top:
            await top.shows("LIVE", "write", "40% Write", "blocked", "tasks")
            await top.press("down", "down")
            under = top.cursor.split()[0]
            stage.saga.do("main", "op", EnqueueTask(id="bind", title="Bind the book", priority=9))
            await asyncio.to_thread(stage.project)
            await top.shows("bind", "Bind the", f"#{stage.saga.last('main')}")
            assert top.cursor.split()[0] == under  # the cursor stays on its row

    asyncio.run(watch())


def test_arrows_show_each_moment_as_replay_gives_it(stage: Stage) -> None:
    last = stage.saga.last("main")

    def check(top: Screen, sequence: int) -> None:
        rows = replay(stage.log, CODEC, PROJECTIONS, "main", stage.log.at_sequence("main", sequence))
        assert top.app.frame is not None
        shown = {row["task"]: (row["status"], row["holder"]) for row in top.app.frame.rows}
        assert shown == {row.task: (row.status, row.holder) for row in rows["queue"].values()}
        for task, (status, _) in shown.items():
            assert any(task in line and status.replace("_", " ") in line for line in top.lines)

    async def walk() -> None:
        async with screen(lambda: stage.url, TASKS) as top:
            await top.press("a")
            await top.at(last)
            for back in range(1, 5):
                await top.press("left")
                await top.at(last - back)
                check(top, last - back)
            await top.press("home")
            await top.at(1)
            check(top, 1)
            assert "PAST" in top.text
            await top.press("right", "right")
            await top.at(3)
            check(top, 3)
            await top.press("greater_than_sign")
            await top.at(last)
            await top.press("end")
            await top.shows("LIVE")

    asyncio.run(walk())


def test_a_point_is_gone_to_as_it_is_typed_for_replay(stage: Stage) -> None:
    async def go() -> None:
        async with screen(lambda: stage.url, TIMELINE, until="#4") as top:
            await top.at(4)
            await top.press("g", *"#7", "enter")
            await top.at(7)
            await top.press("g", *"nonsense!", "enter")
            await top.shows("is not a point in time")
            await top.press("g", "escape", "g", *"now", "enter")
            await top.shows("LIVE")

    asyncio.run(go())


def test_rows_are_chosen_by_letters_and_searched_as_one_types(stage: Stage) -> None:
    async def choose() -> None:
        async with screen(lambda: stage.url, TASKS) as top:
            await top.shows("print", "draw", "write")
            await top.press("b")
            await top.until(lambda: "Print the book" in top.text and "Write the" not in top.text)
            await top.press("a", "slash", *"draw")
            await top.until(lambda: "Draw the" in top.text and "Print the" not in top.text)
            assert any(line.startswith(" /draw  open") for line in top.lines)
            await top.press("escape")
            await top.shows("Print the", "Draw the")
            await top.press("4", "slash", *"ink")
            await top.until(lambda: "no ink" in top.text and "claimed" not in top.text)

    asyncio.run(choose())


def test_enter_leads_from_row_to_story_and_on(stage: Stage) -> None:
    async def open_() -> None:
        async with screen(lambda: stage.url, size=(100, 40)) as top:
            await top.shows("a1", "write 40% Write the chapter")
            await top.press("enter")
            await top.shows("agent a1", "Tasks it holds", "Story", "a1 claimed write under fence 1")
            await top.press("ctrl+end", "enter")
            await top.shows("event #", "Why", "because", "an end")
            await top.press("escape", "escape")
            await top.shows("on duty")
            await top.press("3", "enter")  # what is opened is what is seen, whatever is being read
            await top.until(lambda: not top.app.busy)
            await top.press("3")
            await top.shows("initiated")
            await top.press("enter")
            await top.shows("handoff h-", "tired", "an end")
            await top.press("home")
            await top.shows("It was not there at this moment.")

    asyncio.run(open_())


def test_what_was_learned_is_shown_with_the_factor(stage: Stage) -> None:
    async def learn() -> None:
        async with screen(lambda: stage.url, LEARNED, until=f"#{stage.saga.last('main')}") as top:
            await top.shows("PAST", "buy more")
            await top.press("e")
            await top.shows("1.50x", "correction factor 1.50x from 1 estimate")

    asyncio.run(learn())


def test_what_is_known_is_shown_now_and_then(stage: Stage) -> None:
    before = stage.saga.last("main")
    _learn(stage)

    async def learn() -> None:
        async with screen(lambda: stage.url, KNOWN) as top:
            await top.shows("Narrator", "The gardener")
            for key, told in {
                "m": "Berta leads", "s": "By turns?", "p": "Ten pages at most", "c": "plot.py", "t": "click",
                "l": "p-",
            }.items():  # fmt: skip
                await top.press(key)
                await top.shows(told)
            await top.press("m", "slash", *"berta")
            await top.until(lambda: "Berta leads" in top.text and "salt" not in top.text)
            await top.press("enter", "enter")
            await top.shows("memory m-", "Berta leads", "a1 stored")
            await top.press("escape", "escape", "left", "f")
            await top.shows("PAST", "1.5")
            await top.press("m", "g", *f"#{before}", "enter")
            await top.shows("There are none.")

    asyncio.run(learn())


def _learn(stage: Stage) -> None:
    """Something of everything that there is to know."""
    commands: tuple[Any, ...] = (
        RecordDecision(title="Narrator", choice="The gardener"),
        StoreMemory(text="Berta leads the crew"),
        StoreMemory(text="The salt is taxed"),
        InitiateSpike(question="By turns?"),
        DefinePattern(pattern="short", description="Ten pages at most"),
        *(SnapshotComplexity(files=(Measured(file="plot.py", score=score),)) for score in (10.0, 16.0)),
        CacheDocumentation(library="click", content="Groups nest", days=1e-9),
        EnqueuePlan(tasks=(PlannedTask(local="one", title="One"),)),
    )
    for command in commands:
        stage.saga.do("main", "a1", command)
    stage.project()


def test_it_plays_from_a_moment_to_the_end(stage: Stage) -> None:
    async def play() -> None:
        async with screen(lambda: stage.url, HANDED) as top:
            await top.at(stage.saga.last("main"))
            await top.press("space")
            await top.shows("Nothing to play")
            await top.press("home", *["plus"] * 9, "space")
            await top.at(stage.saga.last("main"))
            await top.shows("initiated", "tired")
            assert top.app.playing_events_s is None

    asyncio.run(play())


def test_servers_that_go_away_are_named_and_their_return_noticed(stage: Stage) -> None:
    running = True
    admin = conninfo_to_dict(stage.url) | {"dbname": "postgres"}
    name = conninfo_to_dict(stage.url)["dbname"]

    def find() -> str:
        if not running:
            raise NotRunning(data="/somewhere")
        return stage.url

    def admit(yes: bool) -> None:
        with psycopg.connect(**admin, autocommit=True) as connection:  # type: ignore[arg-type]  # they are text
            connection.execute(
                SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(Identifier(name), SQL(str(yes)))
            )
            if not yes:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
                )

    async def lose() -> None:
        nonlocal running
        async with screen(find, TASKS, size=(160, 30)) as top:
            await top.shows("LIVE", "Write the chapter")
            running = False
            admit(False)
            try:
                await top.shows("NO CONNECTION", "No coordctl is running on /somewhere", "Write the chapter")
                await top.press("4")
                await top.shows("what happened", "This could not be read yet.")
                assert "Write the chapter" not in top.text
                await top.press("2")
                await top.shows("Write the chapter")
            finally:
                admit(True)
            stage.saga.do("main", "op", EnqueueTask(id="bind", title="Bind the book"))
            await asyncio.to_thread(stage.project)
            running = True
            await top.shows("LIVE", "Bind the book")

    asyncio.run(lose())


def test_no_other_rows_stand_in_for_those_that_are_long_in_coming(stage: Stage) -> None:
    found = "SELECT schemaname, tablename FROM pg_tables WHERE tablename LIKE 'activity%' ORDER BY tablename"

    async def wait() -> None:
        async with screen(lambda: stage.url, TASKS, size=(160, 30)) as top:
            await top.shows("Write the chapter")
            with psycopg.connect(stage.url) as connection:
                row = connection.execute(found).fetchone()
                assert row is not None
                connection.execute(SQL("LOCK TABLE {}").format(Identifier(*row)))
                await top.press("4")
                await top.shows("what happened", "Reading …")
                assert "Write the chapter" not in top.text
            await top.shows("a1 claimed write")

    asyncio.run(wait())


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (40, 12)])
def test_it_fits_on_any_screen_and_needs_no_colours(
    stage: Stage, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stage.saga.tick("main", 300)
    stage.project()

    async def look() -> None:
        async with screen(lambda: stage.url, FLEET, size=size) as top:
            await top.shows("LIVE", "STALE", "▲ a3")
            for key in "123456":
                await top.press(key)
                await top.until(lambda: not top.app.busy)
                assert [len(line) for line in top.lines] == [size[0]] * size[1]
            strips = top.app.screen._compositor.render_strips(top.app.size)
            drawn = [strip.apply_filter(each, top.app.screen.background_colors[1]) for strip in strips
                     for each in top.app._filters if each.enabled][-len(strips):]  # fmt: skip
            colours = {
                part.style.color.name for strip in drawn for part in strip if part.style and part.style.color
            }
            assert colours <= {"default"}
            await top.resize(100, 30)
            await top.until(lambda: len(top.lines) == 30)

    asyncio.run(look())


def test_the_mouse_does_what_keys_do(stage: Stage) -> None:
    async def click() -> None:
        async with screen(lambda: stage.url, size=(100, 24)) as top:
            await top.shows("write 40% Write")
            await top.click("2 Queue")
            await top.shows("Print the")
            await top.click("blocked 1")
            await top.until(lambda: "Print the" in top.text and "Draw the" not in top.text)
            await top.click("Print the")
            await top.shows("task print")
            await top.click("━━━━")
            await top.shows("PAST")

    asyncio.run(click())


def test_text_from_the_log_steers_no_terminal(stage: Stage) -> None:
    stage.saga.do("main", "op", EnqueueTask(id="evil", title="a\x1b[2Jb\nc [red]d[/] 漢字", priority=9))
    stage.project()

    async def look() -> None:
        async with screen(lambda: stage.url, TASKS, size=(120, 24)) as top:
            await top.shows("a [2Jb c [red]d[/] 漢字")
            assert "\x1b" not in top.text
            await top.press("u", "enter")
            await top.shows("task evil", "[red]d[/]")
            assert "\x1b" not in top.text

    asyncio.run(look())


def test_a_hundred_thousand_rows_are_drawn_a_screen_at_a_time() -> None:
    drawn: list[int] = []

    def draw(row: int, _: int) -> Text:
        drawn.append(row)
        return Text(f"row {row}")

    class Shown(App[None]):
        def compose(self) -> ComposeResult:
            yield Lines(id="list")

    async def scroll() -> None:
        app = Shown()
        async with app.run_test(size=(40, 10)) as pilot:
            lines = app.query_one(Lines)
            lines.focus()
            lines.show(Listing(rows=range(200), draw=draw, key=lambda row: row, total=100_000))
            assert len(drawn) <= 10
            assert not lines.lacking
            await pilot.press("ctrl+end")
            assert lines.lacking
            rows = range(99_900, 100_000)
            lines.show(Listing(rows=rows, draw=draw, key=lambda row: row, first=99_900, total=100_000))
            await pilot.press("up")
            assert (lines.row, lines.lacking) == (99_998, False)
            drawn.clear()
            lines.repaint()
            assert len(drawn) <= 10

    asyncio.run(scroll())


def test_every_list_can_be_the_first_one_shown() -> None:
    assert [tab.name for tab in TABS] == [*VIEWS]
    assert {choice.view for tab in TABS for choice in tab.choices} == {*COLUMNS} == {*KEYS}


def test_no_other_command_loads_the_screen() -> None:
    script = (
        "import sys; from cli.main import coordctl; import click\n"
        "context = click.Context(coordctl)\n"
        "for name in coordctl.list_commands(context): coordctl.get_command(context, name)\n"
        "print(sorted(name for name in ('textual', 'services.top.source') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
