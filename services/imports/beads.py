"""From the issue export of the beads tracker (JSON lines) to the tasks that take it over. Pure.

    blocks                    a dependency
    parent-child              the parent; a second parent stays as a link
    any other edge            a link of that kind
    priority 0 … 4            4 … 0, since here higher is more urgent
    closed                    completed, with close_reason and closed_at in its result
    tombstone                 left out, as are the edges to it
    any other status          open: whoever held it there does not hold it here

A row that is not as it should be is mended or skipped and noted with its line, and the import goes on.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from domain.tasks.commands import MAX_PLAN_TASKS, ImportedTask, Link
from services.bus.wire import MAX_PAYLOAD_BYTES

MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_ISSUES = 1_000_000
MAX_NOTES = 1_000
MAX_TITLE_CHARACTERS = 500
MAX_TEXT_CHARACTERS = 100_000
MAX_EDGES_PER_ISSUE = 500
MAX_TASK_BYTES = MAX_PAYLOAD_BYTES - 1024  # the rest is for the command around it
LOWEST_PRIORITY = 4
USUAL_PRIORITY = 2

_ID = re.compile(r"(?=.{1,128}\Z)[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_OPEN = ("open", "in_progress", "hooked", "blocked")
_SECTIONS = {"design": "Design", "acceptance_criteria": "Acceptance criteria", "notes": "Notes"}
_FACTS = ("assignee", "created_by", "created_at", "updated_at", "external_ref")
_CLOSING_FACTS = ("close_reason", "closed_at")
_COMMENT_FIELDS = ("author", "created_at", "text")


class Note(Struct, frozen=True):
    """Something odd: where it stood, which issue it was (if that is known), what it was and what was done."""

    line: int
    issue: str | None
    problem: str
    action: Literal["skipped", "mended"]


class Report(Struct):
    """What was read. `notes` keeps the first oddities; `skipped` and `mended` count them all."""

    rows: int = 0
    tombstones: int = 0
    edges_to_tombstones: int = 0
    skipped: int = 0
    mended: int = 0
    notes: list[Note] = []

    def skip(self, line: int, issue: str | None, problem: str) -> None:
        """Note a row that is left out."""
        self.skipped += 1
        self._note(Note(line, issue, problem, "skipped"))

    def mend(self, line: int, issue: str, problem: str) -> None:
        """Note a row that is taken over without what is wrong with it."""
        self.mended += 1
        self._note(Note(line, issue, problem, "mended"))

    def _note(self, note: Note) -> None:
        if len(self.notes) < MAX_NOTES:
            self.notes.append(note)


class Plan(Struct, frozen=True):
    """The tasks, each after all it depends on, and what was odd on the way."""

    tasks: list[ImportedTask]
    report: Report


class Chunk(Struct, frozen=True):
    """One `task.import`."""

    command_id: str
    tasks: Sequence[ImportedTask]


def read_issues(lines: Iterable[bytes], persona: str | None = None) -> Plan:
    """The plan of an import. `persona` is who may take the open tasks; None: any agent."""
    report = Report()
    issues: dict[str, _Issue] = {}
    tombstones: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        report.rows += 1
        row = _parse(line, number, report)
        if row is None:
            continue
        if row.id in issues or row.id in tombstones:
            row.skip("an earlier row has the same id")
        elif row.fields.get("status") == "tombstone":
            tombstones.add(row.id)
            report.tombstones += 1
        elif len(issues) >= MAX_ISSUES:
            row.skip(f"there are more than {MAX_ISSUES} issues")
        elif (issue := _issue(row, persona)) is not None:
            issues[row.id] = issue
    return Plan(_connect(issues, tombstones, report), report)


def chunks(tasks: Iterable[ImportedTask], head: int) -> Iterator[Chunk]:
    """The commands that import these tasks in this order, each within the limits of one request.

    `head` is the position at which the log ends before. The same tasks on the same log have the same command
    ids, so that an import sent twice is done once; on a log that has gone on they are decided anew, since
    what was refused may be allowed now.
    """
    chosen: list[ImportedTask] = []
    size_bytes = 0
    for task in tasks:
        task_bytes = _size_bytes(task) + 1
        if chosen and (size_bytes + task_bytes > MAX_TASK_BYTES or len(chosen) == MAX_PLAN_TASKS):
            yield _chunk(chosen, head)
            chosen, size_bytes = [], 0
        chosen.append(task)
        size_bytes += task_bytes
    if chosen:
        yield _chunk(chosen, head)


class _Row(Struct):
    """One row of the file, while it is read."""

    id: str
    fields: dict[str, Any]
    line: int
    report: Report

    def skip(self, problem: str) -> None:
        self.report.skip(self.line, self.id, problem)

    def mend(self, problem: str) -> None:
        self.report.mend(self.line, self.id, problem)

    def text(self, field: str) -> str:
        return self.text_of(self.fields.get(field), field)

    def text_of(self, value: Any, field: str) -> str:
        """A text without what the log cannot hold; empty if there is none."""
        if value is None:
            return ""
        if not isinstance(value, str):
            self.mend(f"its {field} is no text and left out")
            return ""
        if "\0" in value:
            self.mend(f"its {field} has NUL characters, which are left out")
        return value.replace("\0", "")

    def list_of(self, field: str) -> list[Any]:
        value = self.fields.get(field)
        if value is None or isinstance(value, list):
            return value or []
        self.mend(f"its {field} is no list and left out")
        return []


class _Issue(Struct):
    """An issue as it was read; its edges are not yet checked against the other issues."""

    row: _Row
    task: ImportedTask
    blocks: list[str]
    parents: list[str]
    links: list[Link]


def _parse(line: bytes, number: int, report: Report) -> _Row | None:
    """The row of a line if it is an object with a usable id; otherwise the line is noted as skipped."""
    if len(line) > MAX_LINE_BYTES:
        report.skip(number, None, f"the line is longer than {MAX_LINE_BYTES} bytes")
        return None
    try:
        fields = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        report.skip(number, None, f"it is not JSON ({error})")
        return None
    name = fields.get("id") if isinstance(fields, dict) else None
    if not isinstance(name, str) or not name:
        report.skip(number, None, "it is not an object with an id")
        return None
    if not _ID.fullmatch(name):
        shown = ascii(name[:128])[1:-1]
        report.skip(number, shown, "its id is not 1 to 128 letters, digits, _ and - with single dots between")
        return None
    return _Row(name, fields, number, report)


def _issue(row: _Row, persona: str | None) -> _Issue | None:
    """The issue of a row, or None (noted) if it has no title."""
    title = row.text("title").strip()
    if not title:
        row.skip("it has no title")
        return None
    if len(title) > MAX_TITLE_CHARACTERS:
        row.mend(f"its title is cut to {MAX_TITLE_CHARACTERS} characters")
    closed = _is_closed(row)
    facts = _facts(row, closed)
    blocks, parents, links = _edges(row)
    task = ImportedTask(
        id=row.id,
        title=title[:MAX_TITLE_CHARACTERS],
        description=_description(row),
        type=_type(row),
        persona=None if closed else persona,
        priority=_priority(row),
        depends_on=tuple(blocks),
        links=tuple(links + _as_links(parents)),
        status="completed" if closed else "open",
        input=None if closed else facts or None,
        result=facts if closed else None,
    )
    return _Issue(row, _fitting(task, row), blocks, parents, links)


def _is_closed(row: _Row) -> bool:
    status = row.fields.get("status")
    if status != "closed" and status not in _OPEN:
        row.mend("its status is unknown; it is taken as open")
    return status == "closed"


def _type(row: _Row) -> str:
    name = row.fields.get("issue_type") or "task"
    if isinstance(name, str) and _ID.fullmatch(name):
        return name
    row.mend("its issue_type is no word; task is taken")
    return "task"


def _priority(row: _Row) -> int:
    priority = row.fields.get("priority", USUAL_PRIORITY)
    if type(priority) is int and 0 <= priority <= LOWEST_PRIORITY:
        return LOWEST_PRIORITY - priority
    row.mend(f"its priority is not 0 to {LOWEST_PRIORITY}; {USUAL_PRIORITY} is taken")
    return LOWEST_PRIORITY - USUAL_PRIORITY


def _description(row: _Row) -> str:
    """The description with the issue's other long texts as sections after it."""
    sections = {heading: row.text(field) for field, heading in _SECTIONS.items()}
    parts = [
        row.text("description"),
        *(f"## {heading}\n\n{text}" for heading, text in sections.items() if text),
    ]
    whole = "\n\n".join(part for part in parts if part)
    if len(whole) > MAX_TEXT_CHARACTERS:
        row.mend(f"its description is cut to {MAX_TEXT_CHARACTERS} characters")
    return whole[:MAX_TEXT_CHARACTERS]


def _facts(row: _Row, closed: bool) -> dict[str, Any]:
    """What else the issue says: the input of an open task, the result of a closed one."""
    texts = {field: row.text(field) for field in (*(_CLOSING_FACTS if closed else ()), *_FACTS)}
    facts: dict[str, Any] = {field: text for field, text in texts.items() if text}
    labels = [row.text_of(label, "label") for label in row.list_of("labels")]
    comments = [
        {field: row.text_of(comment.get(field), "comment") for field in _COMMENT_FIELDS}
        for comment in row.list_of("comments")
        if isinstance(comment, dict)
    ]
    return facts | {name: values for name, values in (("labels", labels), ("comments", comments)) if values}


def _edges(row: _Row) -> tuple[list[str], list[str], list[Link]]:
    """The issue's edges by what they mean here: dependencies, parents, links."""
    found: dict[str, dict[str, None]] = {"blocks": {}, "parent-child": {}}
    links: list[Link] = []
    edges = row.list_of("dependencies")
    if len(edges) > MAX_EDGES_PER_ISSUE:
        row.mend(f"only its first {MAX_EDGES_PER_ISSUE} dependencies are kept")
    for edge in edges[:MAX_EDGES_PER_ISSUE]:
        kind, to = (edge.get("type"), edge.get("depends_on_id")) if isinstance(edge, dict) else (None, None)
        if not (isinstance(kind, str) and isinstance(to, str) and _ID.fullmatch(kind) and _ID.fullmatch(to)):
            row.mend("a dependency without a usable type and id is left out")
        elif edge.get("issue_id", row.id) != row.id:
            row.mend(f"a dependency on {to} belongs to another issue and is left out")
        elif to == row.id:
            row.mend(f"its edge to itself ({kind}) is left out")
        elif kind in found:
            found[kind][to] = None
        else:
            links.append(Link(kind, to))
    return list(found["blocks"]), list(found["parent-child"]), links


def _as_links(parents: Iterable[str]) -> list[Link]:
    return [Link("parent-child", parent) for parent in parents]


def _fitting(task: ImportedTask, row: _Row) -> ImportedTask:
    """The task within the size of one request: without its other facts, and then with less description."""
    if _size_bytes(task) <= MAX_TASK_BYTES:
        return task
    row.mend("it is too large; its comments, labels and other facts are left out")
    task = replace(task, input=None, result=None)
    while _size_bytes(task) > MAX_TASK_BYTES:  # ends: what is left without a description always fits
        kept = len(task.description) // 2
        row.mend(f"it is too large; its description is cut to {kept} characters")
        task = replace(task, description=task.description[:kept])
    return task


def _connect(issues: Mapping[str, _Issue], tombstones: set[str], report: Report) -> list[ImportedTask]:
    """The tasks with the edges that hold among these issues, each after all it depends on."""
    for issue in issues.values():
        ends = [*issue.blocks, *issue.parents, *(link.to for link in issue.links)]
        report.edges_to_tombstones += sum(end in tombstones for end in ends)
        issue.blocks = _known(issue, "dependency", issue.blocks, issues, tombstones)
        parents = _known(issue, "parent", issue.parents, issues, tombstones)
        issue.parents = parents[:1]
        issue.links = [link for link in issue.links if link.to not in tombstones] + _as_links(parents[1:])
    order, closing = _without_cycles({name: issue.blocks for name, issue in issues.items()})
    for name, end in closing:
        issues[name].row.mend(f"its dependency on {end} closes a cycle and is left out")
        issues[name].blocks.remove(end)
    _, closing = _without_cycles({name: issue.parents for name, issue in issues.items()})
    for name, end in closing:
        issues[name].row.mend(f"its parent {end} closes a cycle and is left out")
        issues[name].parents.clear()
    return [_task(issues[name]) for name in order]


def _known(
    issue: _Issue, word: str, ends: list[str], issues: Mapping[str, _Issue], tombstones: set[str]
) -> list[str]:
    """Those of the edge's ends that are imported; unknown ones are noted."""
    for end in ends:
        if end not in issues and end not in tombstones:
            issue.row.mend(f"its {word} {end} is not in the file and left out")
    return [end for end in ends if end in issues]


def _without_cycles(edges: Mapping[str, Sequence[str]]) -> tuple[list[str], list[tuple[str, str]]]:
    """Every node after the ends of its edges, and the edges that had to be cut for it.

    Depth first without recursion: a chain may be deeper than Python's stack.
    """
    placed: dict[str, None] = {}
    closing: list[tuple[str, str]] = []
    for root in edges:
        path = {} if root in placed else {root: iter(edges[root])}
        while path:
            name = next(reversed(path))
            end = next(path[name], None)
            if end is None:
                del path[name]
                placed[name] = None
            elif end in path:
                closing.append((name, end))
            elif end not in placed:
                path[end] = iter(edges[end])
    return list(placed), closing


def _task(issue: _Issue) -> ImportedTask:
    parent = issue.parents[0] if issue.parents else None
    return replace(issue.task, depends_on=tuple(issue.blocks), parent=parent, links=tuple(issue.links))


def _chunk(tasks: list[ImportedTask], head: int) -> Chunk:
    digest = blake2b(msgspec.json.encode(tasks), digest_size=16).hexdigest()
    return Chunk(f"import-{head}-{digest}", tasks)


def _size_bytes(task: ImportedTask) -> int:
    return len(msgspec.json.encode(task))
