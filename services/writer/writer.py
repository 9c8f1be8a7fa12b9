"""The writer: takes the requests that have arrived, decides them, commits their events at once, then answers.

    requests ──► decide on the ledgers ──► one transaction ──► answers

While one batch commits, the next is decided on the ledgers as they will be. If a commit fails, every ledger
is thrown away and folded again from the log, and the callers are told to ask again. A fork or a restore is a
batch of its own, decided when nothing is being committed: it folds a ledger of the past from the log. Touches
the log and nothing else; requests come from the doors by `submit`.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from time import perf_counter
from typing import TypeVar

from msgspec.structs import replace

from domain.decider import due, execute, recover
from domain.errors import CoordError, Rejection
from domain.handoffs import HandoffInitiated
from domain.ledger import Ledger
from domain.messages import TICKER, Command, Context, Event
from domain.project import ProjectCommand
from domain.results import Result, result_unchanged
from domain.tasks.commands import ClaimTask
from domain.tasks.events import TaskEnqueued
from services.errors import InternalError
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.metrics import Waiting, WriterMetrics
from services.waiting import either
from services.writer.batch import LOG, Batch, Outcome, refuse_all
from services.writer.books import Book, Briefs, Library, Parked, Shortcut
from services.writer.defaults import Defaults
from services.writer.estates import Estate, WholeLog
from services.writer.inbox import ENDED, WRITER, Inbox
from services.writer.requests import Request
from services.writer.telling import fault, tell_due

MAX_PARKED_REQUESTS = 10_000
TICK_S = 0.1
IDLE_S = 5.0
MAX_TICK_COMMANDS = 1_000
REOPEN_WAIT_S = 0.2
MAX_REOPEN_WAIT_S = 5.0

T = TypeVar("T")

logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]


class Writer:
    """Owns the ledgers. `run` until `stop` is set; everything but commits happens on its event loop."""

    def __init__(
        self,
        log: EventLog,
        codec: Codec,
        clock: Clock,
        metrics: WriterMetrics,
        shortcut: Shortcut | None = None,
        estate: Estate | None = None,
        defaults: Defaults | None = None,
    ) -> None:
        """Without an estate the whole log is this writer's; without defaults it keeps its own."""
        self._estate = estate or WholeLog(log)
        self._log = log
        self._codec = codec
        self._clock = clock
        self._metrics = metrics
        self._library = Library(log, codec, shortcut, defaults)
        self._briefs = Briefs(log, codec)
        self._inbox = Inbox(metrics)
        self._parked = 0
        self._unwoken: set[str] = set()
        self._head = 0
        self._next_tick = 0.0
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="commit")

    def submit(self, request: Request) -> None:
        self._inbox.put(request)

    async def open(self) -> None:
        """Fold every project of ours, so that leases and retries run without anybody asking."""
        await self._in_committer(self._library.open_all, self._clock(), self._estate.owns)
        self._head = await self._in_committer(self._log.head)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; then finish what is in the inbox and let every caller know.

        Whoever has lost the estate ends at once: the others know better by now.
        """
        self._metrics.begins(self._waiting)
        waking = asyncio.create_task(self._inbox.wake_at(stop))
        committing: asyncio.Task[CoordError | None] | None = None
        while (self._inbox or not stop.is_set()) and not self._estate.lost:
            if committing is None and self._inbox.turn_is_next:
                batch = await self._turn(self._inbox.pop())
            else:
                batch = await self._fill(committing)
            if committing is not None and (failed := await committing) is not None:
                refuse_all([outcome.request for outcome in batch.outcomes], failed)
                committing = None
                await self._start_anew(stop)
            elif batch.outcomes or batch.stored:
                committing = asyncio.create_task(self._commit(batch))
                committing.add_done_callback(lambda _: self._inbox.wake())
            else:
                committing = None
        if committing is not None:
            await committing
        self._inbox.close()
        self._refuse_parked(ENDED, WRITER)
        self._metrics.ends(self._waiting)
        waking.cancel()
        self._committer.shutdown()

    async def _fill(self, committing: asyncio.Task[CoordError | None] | None) -> Batch:
        """Decide what arrives until the commit before is through; what queued up meanwhile is the batch."""
        batch = Batch()
        while True:
            if not self._unwoken:  # without a project there is nothing that time alone could ask for
                await self._inbox.arrival(TICK_S if self._library.books() else IDLE_S)
            began = perf_counter()
            decided, touched = await self._decide_all(batch)
            if began >= self._next_tick and not self._inbox.turn_is_next:
                self._next_tick = began + TICK_S
                touched |= self._tick(batch)
            self._wake_parked(touched, batch)
            self._metrics.decided(decided, perf_counter() - began)
            if batch.is_full or self._inbox.turn_is_next or committing is None or committing.done():
                return batch

    async def _decide_all(self, batch: Batch) -> tuple[int, set[str]]:
        """Decide what is in the inbox; how many that were, and of which projects.

        It ends before a fork or a restore, which is decided alone.
        """
        decided, touched = 0, set()
        while self._inbox and not batch.is_full and not self._inbox.turn_is_next:
            request = self._inbox.pop()
            decided += 1
            book = self._library.opened(request.project) or await self._open(request)
            if book is not None:
                self._decide(book, request, batch)
                touched.add(request.project)
        return decided, touched

    async def _open(self, request: Request) -> Book | None:
        """The book of the request's project; None if it is not ours or the log away; then that was told."""
        if not self._estate.owns(request.project):
            refuse_all([request], "this one decides for other projects", WRITER)
            return None
        try:
            return await self._in_committer(self._library.open, request.project, self._clock())
        except CoordError as error:
            self._metrics.refused(request.command.name, error.code)
            refuse_all([request], error)
            return None

    async def _turn(self, request: Request) -> Batch:
        """Decide a fork or a restore; all that was decided before is in the log, and nothing else is now."""
        batch, command = Batch(), request.command
        assert isinstance(command, ProjectCommand)
        book = self._library.opened(request.project) or await self._open(request)
        if book is None or self._answered_before(book, request, batch):
            return batch
        context = request.context(book.now(self._clock()))
        try:
            ledger, events, context = await self._in_committer(self._go_back, book.ledger, command, context)
        except (Rejection, InternalError) as refusal:
            book.answers.refused(request.actor, request.command_id, refusal)
            self._refuse(request, refusal, batch)
        except CoordError as error:
            self._metrics.refused(command.name, error.code)
            refuse_all([request], error)
        else:
            book.ledger = ledger
            self._accept(book, request, events, context, batch)
            waiting, book.parked = book.parked, OrderedDict()
            for parked in waiting.values():  # their agents were ended, and are told so
                self._retry(book, parked, batch)
        self._library.close_if_empty(book)
        return batch

    def _go_back(
        self, ledger: Ledger, command: ProjectCommand, context: Context
    ) -> tuple[Ledger, tuple[Event, ...], Context]:
        try:
            return self._library.turn(ledger, command, context)
        except CoordError:
            raise
        except Exception as error:  # nothing has changed yet
            raise fault(command, context, error) from error

    def _decide(self, book: Book, request: Request, batch: Batch, until: datetime | None = None) -> None:
        """Decide one request on its ledger and note its outcome; `until` is set if it has been waiting."""
        if self._answered_before(book, request, batch):
            return
        context = request.context(book.now(self._clock()))
        if until is None:  # a claim that waits is tried again by us: no sign of life of its agent
            self._recover(book, context, batch)
        try:
            events = self._execute(book, request.command, context)
        except CoordError as refusal:
            book.answers.refused(request.actor, request.command_id, refusal)
            self._refuse(request, refusal, batch)
            return
        if not events and self._park(book, request, context.at, until):
            return
        self._accept(book, request, events, context, batch)

    def _answered_before(self, book: Book, request: Request, batch: Batch) -> bool:
        """A command that was asked before gets its first answer again."""
        sequence = book.answers.sequence_of(request.actor, request.command_id)
        if sequence is not None:
            self._metrics.accepted(request.command.name)
            batch.outcomes.append(Outcome(request, repeats=sequence))
            return True
        earlier = book.answers.refusal_of(request.actor, request.command_id)
        if earlier is not None:
            self._refuse(request, earlier, batch)
        return earlier is not None

    def _accept(
        self, book: Book, request: Request, events: tuple[Event, ...], context: Context, batch: Batch
    ) -> None:
        """Note the outcome of a command that the ledger has applied."""
        self._metrics.accepted(request.command.name)
        first = len(batch.stored)
        self._store(book, events, context, batch)
        plain: Result | None = None
        if not events:
            plain, events = result_unchanged(book.ledger, request.command, request.actor)
        batch.outcomes.append(Outcome(request, told=events, first=first, last=len(batch.stored), plain=plain))

    def _recover(self, book: Book, context: Context, batch: Batch) -> None:
        """An agent that was stale and speaks is back: an event of its own, and no part of the answer."""
        back = recover(book.ledger, context)
        if back:
            own = replace(context, command_id=f"{context.command_id}:recovered")
            self._store(book, back, own, batch)

    def _refuse(self, request: Request, refusal: CoordError, batch: Batch) -> None:
        self._metrics.refused(request.command.name, refusal.code)
        batch.outcomes.append(Outcome(request, refusal=refusal))

    def _execute(self, book: Book, command: Command, context: Context) -> tuple[Event, ...]:
        """Raises a Rejection, or InternalError if the decision has a fault: the others must go on."""
        before = book.ledger.sequence
        try:
            return execute(book.ledger, command, context)
        except Rejection:
            raise
        except Exception as error:
            if book.ledger.sequence != before:
                raise  # the ledger is half changed: end this process, and the next one folds it from the log
            raise fault(command, context, error) from error

    def _store(self, book: Book, events: tuple[Event, ...], context: Context, batch: Batch) -> None:
        """Encode events that the ledger has applied; they are its last ones."""
        if not events:
            return
        sequence = book.ledger.sequence - len(events)
        if context.actor != TICKER:
            book.answers.carried_out(context.actor, context.command_id, sequence + 1)
        for event in events:
            sequence += 1
            stored = self._codec.encode(event, context, sequence)
            batch.store(stored)
            if isinstance(event, TaskEnqueued | HandoffInitiated):
                self._briefs.keep(context.project, stored, event)
        book.last_at = context.at

    def _park(self, book: Book, request: Request, now: datetime, until: datetime | None) -> bool:
        """Keep a claim that found nothing and may wait (longer)."""
        command = request.command
        if not isinstance(command, ClaimTask) or command.task is not None or command.wait_s <= 0:
            return False
        asked = (request.actor, request.command_id)
        earlier = book.parked.get(asked)  # asked again, it keeps its place and its end
        if earlier is None and self._parked >= MAX_PARKED_REQUESTS:
            return False
        until = earlier.until if earlier else until or now + timedelta(seconds=command.wait_s)
        if until <= now:
            return False
        self._parked += earlier is None
        book.parked[asked] = Parked(request, until)
        return True

    def _wake_parked(self, touched: set[str], batch: Batch) -> None:
        """Offer what can be claimed now to the claims that wait, longest first; when full, next time."""
        touched, self._unwoken = touched | self._unwoken, set()
        for project in touched:
            book = self._library.opened(project)
            if book is None:
                continue
            waiting, book.parked = book.parked, OrderedDict()
            while waiting and book.ledger.tasks.queues and not batch.is_full:
                _, parked = waiting.popitem(last=False)
                self._retry(book, parked, batch)
            if waiting and batch.is_full:
                self._unwoken.add(project)
            book.parked |= waiting
            self._library.close_if_empty(book)

    def _retry(self, book: Book, parked: Parked, batch: Batch) -> None:
        self._parked -= 1
        self._decide(book, parked.request, batch, parked.until)

    def _tick(self, batch: Batch) -> set[str]:
        """Do what time alone asks for: expiries, retries that are due, waits that are over."""
        touched = set()
        for book in self._library.books():
            if batch.is_full:
                break  # the next tick goes on
            now = book.now(self._clock())
            if self._do_due(book, now, batch):
                touched.add(book.ledger.project)
            over = [asked for asked, parked in book.parked.items() if parked.until <= now]
            for parked in [book.parked.pop(asked) for asked in over]:
                self._retry(book, parked, batch)
        return touched

    def _do_due(self, book: Book, now: datetime, batch: Batch) -> bool:
        project = book.ledger.project
        did = False
        for _ in range(MAX_TICK_COMMANDS):
            command = due(book.ledger, now)
            if command is None:
                break
            command_id = f"tick-{book.ledger.sequence + 1}"
            context = Context(project=project, actor=TICKER, at=now, command_id=command_id)
            events = execute(book.ledger, command, context)
            self._store(book, events, context, batch)
            self._metrics.ticked(command.name, events)
            tell_due(context, events)
            did = True
        return did

    async def _commit(self, batch: Batch) -> CoordError | None:
        """Append the batch and answer it; what the log refused it with: then the ledgers are ahead of it."""
        try:
            answers = await self._in_committer(self._append, batch)
        except CoordError as error:
            if not self._estate.lost:  # whoever holds the estate tells of that once
                told = {"code": error.code}
                logger.warning("commit of %d events failed: %s", len(batch.stored), error, extra=told)
            self._metrics.commit_failed(error.code)
            refuse_all([outcome.request for outcome in batch.outcomes], error)
            return error
        for request, answer in answers:
            request.answer(answer)
        return None

    def _append(self, batch: Batch) -> list[tuple[Request, bytes]]:
        began = perf_counter()
        positions = batch.commit(self._estate)
        if positions:
            self._head = positions[-1]
            self._metrics.committed(batch.stored, perf_counter() - began, self._head)
        return batch.answers(positions, self._head, self._log, self._codec, self._briefs)

    async def _start_anew(self, stop: asyncio.Event) -> None:
        """After a failed commit: fold every ledger again once the log can be used; callers are refused."""
        self._refuse_parked("it was away", LOG)
        wait_s = REOPEN_WAIT_S
        while not self._estate.lost:
            try:
                await self._in_committer(self._log.check_room)
                await self.open()
            except CoordError as error:
                logger.warning("the log cannot be used yet: %s", error)
                self._inbox.shut(error)
                if await either(stop, wait_s):
                    return
                wait_s = min(wait_s * 2, MAX_REOPEN_WAIT_S)
            else:
                self._inbox.reopen()
                logger.info("the log can be used again")
                return

    def _refuse_parked(self, why: str, what: str) -> None:
        for book in self._library.books():
            refuse_all([parked.request for parked in book.parked.values()], why, what)
            book.parked.clear()
        self._parked = 0

    def _waiting(self) -> Waiting:
        return Waiting(requests=len(self._inbox), claims=self._parked)

    async def _in_committer(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._committer, function, *arguments)
