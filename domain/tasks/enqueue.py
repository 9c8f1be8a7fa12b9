"""Decisions that bring tasks in: one, a plan, or another tracker's."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from domain.errors import (
    DependencyCycle,
    InvalidCommand,
    InvalidPlan,
    TaskExists,
    UnknownDependency,
    UnknownPersona,
    UnknownTask,
)
from domain.graph import find_cycle
from domain.messages import Context, Event
from domain.sessions import check_open
from domain.tasks.commands import (
    EnqueuePlan,
    EnqueueTask,
    ImportedTask,
    ImportTasks,
    PlannedTask,
    TaskFields,
)
from domain.tasks.events import TaskEnqueued, TaskImported

if TYPE_CHECKING:
    from domain.ledger import Ledger


def enqueue(ledger: "Ledger", command: EnqueueTask, context: Context) -> tuple[Event, ...]:
    task = command.id or context.new_id("t")
    if ledger.tasks.knows(task):
        raise TaskExists(task=task)
    if command.parent is not None and not ledger.tasks.knows(command.parent):
        raise UnknownTask(task=command.parent)
    session = _session(ledger, command.session, context.actor)
    _check_dependencies(ledger, {task: command.depends_on})
    return (_enqueued(ledger, command, task, context, session=session),)


def enqueue_plan(ledger: "Ledger", command: EnqueuePlan, context: Context) -> tuple[Event, ...]:
    """All or none; inside the plan, local names win over ids that exist already."""
    session = _session(ledger, command.session, context.actor)
    plan = context.new_id("p")
    ids = _plan_ids(ledger, command.tasks, context)
    edges = {ids[t.local]: _resolve(t.depends_on, ids) for t in command.tasks}
    _check_dependencies(ledger, edges)
    events = []
    for planned in command.tasks:
        parent = ids.get(planned.parent, planned.parent) if planned.parent else None
        if parent and parent not in edges and not ledger.tasks.knows(parent):
            raise UnknownTask(task=parent)
        task = ids[planned.local]
        fields = msgspec.structs.replace(planned, depends_on=edges[task], parent=parent)
        events.append(_enqueued(ledger, fields, task, context, plan, planned.local, session=session))
    return tuple(events)


def import_tasks(ledger: "Ledger", command: ImportTasks, context: Context) -> tuple[Event, ...]:
    """Known ids are skipped, so that importing twice changes nothing."""
    fresh = {task.id: task for task in command.tasks if not ledger.tasks.knows(task.id)}
    _check_dependencies(ledger, {task.id: task.depends_on for task in fresh.values()})
    closed = {task.id for task in fresh.values() if task.status == "completed"}
    return tuple(
        _enqueued(ledger, task, task.id, context, done=closed) if task.status == "open" else _imported(task)
        for task in fresh.values()
    )


def _plan_ids(ledger: "Ledger", tasks: tuple[PlannedTask, ...], context: Context) -> dict[str, str]:
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for index, planned in enumerate(tasks):
        task = planned.id or context.new_id("t", index)
        if planned.local in ids:
            raise InvalidPlan(why=f"the local name {planned.local} stands in it twice")
        if task in taken:
            raise InvalidPlan(why=f"the id {task} stands in it twice")
        if ledger.tasks.knows(task):
            raise TaskExists(task=task)
        ids[planned.local] = task
        taken.add(task)
    return ids


def _resolve(names: tuple[str, ...], ids: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ids.get(name, name) for name in names))


def _session(ledger: "Ledger", named: str | None, actor: str) -> str | None:
    """The session that delegates, which must be open. Raises UnknownSession."""
    if named is not None:
        check_open(ledger, named)
    return ledger.session_of(actor, named)


def _check_dependencies(ledger: "Ledger", edges: Mapping[str, tuple[str, ...]]) -> None:
    """Every dependency exists, here or beside it, and nothing waits for itself.

    Only new tasks can close a cycle, since no task that exists gains a dependency later.
    """
    for task, dependencies in edges.items():
        for dependency in dependencies:
            if dependency not in edges and not ledger.tasks.knows(dependency):
                raise UnknownDependency(task=task, dependency=dependency)
    cycle = find_cycle(edges)
    if cycle:
        raise DependencyCycle(path=" → ".join(cycle), cycle=cycle)


def _utc(moment: datetime) -> datetime:
    """In UTC, as every time in the log; far from the ends of the calendar, where other clocks overflow."""
    if not 1970 <= moment.year <= 9000:
        raise InvalidCommand(why=f"A task cannot wait for the year {moment.year}; 1970 to 9000 are possible.")
    return moment.astimezone(UTC)


def _enqueued(
    ledger: "Ledger",
    fields: TaskFields,
    task: str,
    context: Context,
    plan: str | None = None,
    local: str | None = None,
    done: frozenset[str] | set[str] = frozenset(),
    session: str | None = None,
) -> TaskEnqueued:
    if fields.persona is not None and not ledger.knows_persona(fields.persona):
        raise UnknownPersona(persona=fields.persona)
    depends_on = tuple(dict.fromkeys(fields.depends_on))
    waiting_for = tuple(d for d in depends_on if d not in ledger.tasks.completed and d not in done)
    run_after = None if fields.run_after is None else _utc(fields.run_after)
    early = run_after is not None and run_after > context.at
    return TaskEnqueued(
        task=task,
        title=fields.title,
        status="blocked" if waiting_for or early else "queued",
        description=fields.description,
        type=fields.type,
        persona=fields.persona,
        capabilities=tuple(sorted(set(fields.capabilities))),
        priority=fields.priority,
        depends_on=depends_on,
        waiting_for=waiting_for,
        parent=fields.parent,
        links=fields.links,
        input=fields.input,
        run_after=run_after,
        retry=fields.retry,
        lease_s=fields.lease_s,
        plan=plan,
        local=local,
        session=session,
    )


def _imported(task: ImportedTask) -> TaskImported:
    assert task.status != "open"
    return TaskImported(
        task=task.id,
        title=task.title,
        status=task.status,
        description=task.description,
        type=task.type,
        persona=task.persona,
        capabilities=task.capabilities,
        priority=task.priority,
        depends_on=task.depends_on,
        parent=task.parent,
        links=task.links,
        result=task.result,
    )
