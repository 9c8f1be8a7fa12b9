"""How the demo is shown: live on a terminal, as lines when piped, and what came of it as tables."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from domain.agents import AgentSpawned, AgentTerminated, AgentWentStale
from domain.handoffs import HandoffAccepted, HandoffInitiated
from domain.learning import FailureRecorded, RetrospectiveRecorded
from domain.messages import Recorded
from domain.settings import SettingChanged
from domain.tasks.events import TaskCompleted, TaskFailed, TaskLeaseExpired
from projections.words import words
from services.demo.board import Board
from services.demo.novel import PLAN
from services.demo.performance import Outcome

PIPED_COLUMNS = 150
REFRESHES_PER_S = 8
RECENT_LINES = 10
SERVICE_LINES = 40

_TOLD = (
    *(AgentSpawned, AgentTerminated, AgentWentStale, HandoffInitiated, HandoffAccepted, SettingChanged),
    *(FailureRecorded, RetrospectiveRecorded, TaskCompleted, TaskFailed, TaskLeaseExpired),
)
"""The events worth a line when nobody watches."""

_TEXTS = ("title", "reason")
_TROUBLE = (TaskFailed, TaskLeaseExpired, AgentWentStale)
_SHOWN = ("completed", "in_progress", "claimed", "queued", "blocked", "failed", "dead")
_COLOURS = {
    "completed": "green",
    "in_progress": "cyan",
    "claimed": "blue",
    "queued": "yellow",
    "failed": "red",
}


class Stage:
    """Where the performance is seen; this one shows nothing. What services say is kept for when it fails."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.said: deque[str] = deque(maxlen=SERVICE_LINES)

    def note(self, line: str) -> None:
        """Say what is being done."""

    def service(self, name: str, line: str) -> None:
        self.said.append(f"{name:<9} | {line}")

    def event(self, recorded: Recorded) -> None:
        """Something happened."""

    @contextmanager
    def open(self, board: Board) -> Iterator[None]:  # noqa: ARG002  # for those that show it
        """Show the board while the body runs."""
        yield


class Lines(Stage):
    """One line for each event that a reader of a log would want to see."""

    def note(self, line: str) -> None:
        self.console.print(line, style="dim", highlight=False)

    def event(self, recorded: Recorded) -> None:
        if isinstance(recorded.event, _TOLD):
            line = f"{recorded.at:%H:%M:%S}  {words(recorded)}"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class Screen(Stage):
    """The fleet, its work and what happened last, live."""

    def note(self, line: str) -> None:
        self.console.print(line, style="dim", highlight=False)

    @contextmanager
    def open(self, board: Board) -> Iterator[None]:
        view = _View(board)
        with Live(view, console=self.console, refresh_per_second=REFRESHES_PER_S, transient=True):
            yield


class _View:
    """The board as it is at each refresh."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __rich__(self) -> RenderableType:
        return Group(self._progress(), self._agents(), self._recent())

    def _progress(self) -> RenderableType:
        done = self._board.completed()
        row = Table.grid(padding=(0, 1))
        counts: Counter[str] = Counter(task.status for task in self._board.tasks)
        row.add_row(
            Text(f"{done}/{len(PLAN)} tasks", style="bold"),
            ProgressBar(total=len(PLAN), completed=done, width=16),
            Text(", ".join(f"{counts[status]} {status}" for status in _SHOWN if counts[status])),
        )
        return row

    def _agents(self) -> RenderableType:
        table = Table(box=None, padding=(0, 1), header_style="bold")
        for column in ("agent", "persona", "", "done", "doing"):
            table.add_column(column, no_wrap=True)
        table.add_column("")
        titles = {task.task: task.title for task in self._board.tasks}
        for agent in self._board.agents:
            if agent.status != "terminated":
                doing = (agent.doing, titles[agent.doing]) if agent.doing else ("", "waits for work")
                style = "red" if agent.status == "stale" else "" if agent.doing else "dim"
                title = Text(doing[1], no_wrap=True, overflow="ellipsis")
                row = (agent.agent, agent.persona, agent.status, str(agent.completed), doing[0], title)
                table.add_row(*row, style=style)
        return table

    def _recent(self) -> RenderableType:
        lines = [_event_line(recorded) for recorded in list(self._board.recent)[-RECENT_LINES:]]
        return Group(Text("What happened last", style="bold"), *lines)


def _event_line(recorded: Recorded) -> Text:
    style = "red" if isinstance(recorded.event, _TROUBLE) else ""
    if isinstance(recorded.event, HandoffInitiated | HandoffAccepted | SettingChanged):
        style = "magenta"
    return Text(f"{recorded.at:%H:%M:%S}  {words(recorded)}", style=style, no_wrap=True, overflow="ellipsis")


def new_stage(*, silent: bool) -> Stage:
    """The stage for whoever watches: a person at a terminal, a pipe, or a program that wants JSON alone."""
    console = Console()
    if silent:
        return Stage(console)
    if console.is_terminal:
        return Screen(console)
    return Lines(Console(width=PIPED_COLUMNS))


def tell(console: Console, outcome: Outcome) -> None:
    """The proof, and the fleet as it was in the middle."""
    console.print()
    _tell_proof(console, outcome)
    _tell_middle(console, outcome)
    agreement = outcome.agreement
    for difference in agreement.differences:
        console.print(f"  differs: {difference}", style="red", markup=False)
    verdict = (
        "equals the read models row for row" if not agreement.differences else "DIFFERS from the read models"
    )
    console.print(
        f"A replay at the end {verdict}: {agreement.rows} rows in {agreement.tables} tables.", highlight=False
    )
    if outcome.holds:
        console.print("Everything holds.", style="bold green")
    else:
        console.print("Something does not hold, see above.", style="bold red")


def _tell_proof(console: Console, outcome: Outcome) -> None:
    proof = outcome.proof
    console.print("Counted from the log", style="bold")
    lines = (
        ("tasks done", f"{proof.done}/{proof.tasks} in {outcome.seconds:.1f} s", proof.done == proof.tasks),
        ("done twice", proof.done_twice, proof.done_twice == 0),
        ("claims lost", f"{proof.lost_claims} of {proof.claims}", proof.lost_claims == 0),
        ("double claims", proof.double_claims, proof.double_claims == 0),
        ("claimed too early", proof.early_claims, proof.early_claims == 0),
        ("fences that went back", proof.fences_back, proof.fences_back == 0),
        ("handoffs accepted", proof.handoffs, proof.handoffs > 1),
        ("leases that expired", f"{proof.expired_leases} (its holder was killed)", proof.expired_leases > 0),
        ("failures retried", proof.retries, proof.retries > 0),
        ("events on JetStream", f"{outcome.heard_events} of {proof.events}, in order", outcome.heard_all),
    )
    for name, value, holds in lines:
        mark = Text("  ok   ", "green") if holds else Text("  NOT OK  ", "bold red")
        console.print(mark.append(f"{name}: {value}", "default"))
    console.print()


def _tell_middle(console: Console, outcome: Outcome) -> None:
    moment = outcome.middle
    at = (
        f"event {moment.sequence} of {outcome.proof.events}, position {moment.position}, {moment.at:%H:%M:%S}"
    )
    console.print(f"Replayed to the middle of the run ({at})", style="bold", highlight=False)
    agents = [row for row in moment.agents if row["status"] != "terminated"]
    columns: tuple[str, ...] = ("agent", "persona", "status", "doing", "claimed", "completed", "failed")
    _print_rows(console, f"Agents: {len(agents)}", columns, agents)
    counts = Counter(row["status"] for row in moment.queue)
    title = "Queue: " + ", ".join(f"{counts[status]} {status}" for status in _SHOWN if counts[status])
    tasks = [row for row in moment.queue if row["status"] not in ("completed", "blocked")]
    columns = ("task", "title", "status", "holder", "fence", "attempt")
    _print_rows(console, title, columns, tasks)
    columns = ("task", "from_agent", "to_agent", "to_persona", "status", "reason")
    _print_rows(console, f"Handoffs: {len(moment.handoffs)}", columns, moment.handoffs)


def _print_rows(console: Console, title: str, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Names stay whole; where there is no room, texts are wrapped."""
    table = Table(
        title=title, title_justify="left", title_style="", box=None, padding=(0, 1), header_style="dim"
    )
    for column in columns:
        table.add_column(column.replace("_", " "), no_wrap=column not in _TEXTS)
    for row in rows:
        cells = ["" if row[column] is None else str(row[column]) for column in columns]
        table.add_row(*cells, style=_COLOURS.get(str(row["status"]), ""))
    console.print(table)
    console.print()
