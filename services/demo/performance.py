"""The demo from beginning to end: a system of its own, the fleet at work, and everything checked afterwards.

Starts the servers and services of one data directory and stops them again; shows nothing itself.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from domain.catalog import EVENTS, upcast
from services.config import Config, State
from services.demo.agent import Pace
from services.demo.board import Board, Listener
from services.demo.fleet import Fleet
from services.demo.novel import PROJECT
from services.demo.past import Agreement, Moment, agreement, middle
from services.demo.proof import Proof, prove
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.supervisor import Supervisor
from services.supervisor.child import Say
from services.waiting import heed_cancellation

LISTENER_TIMEOUT_S = 15.0
LEAST_HANDOFFS = 2


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of the performance, by four accounts: the log, the stream, a replay and the read models."""

    seconds: float
    proof: Proof
    heard_events: int
    heard_in_order: bool
    middle: Moment
    agreement: Agreement

    @property
    def all_happened(self) -> bool:
        """Whether everything that was to go wrong did go wrong."""
        proof = self.proof
        return proof.handoffs >= LEAST_HANDOFFS and proof.expired_leases > 0 and proof.retries > 0

    @property
    def heard_all(self) -> bool:
        return self.heard_in_order and self.heard_events == self.proof.events

    @property
    def holds(self) -> bool:
        return self.proof.holds and self.all_happened and self.heard_all and not self.agreement.differences


@asynccontextmanager
async def running(
    config: Config, program: Sequence[str], environ: Mapping[str, str], say: Say
) -> AsyncIterator[State]:
    """Everything that `coordctl up` runs, in processes of their own, until the body ends."""
    stop = asyncio.Event()
    up: asyncio.Future[State] = asyncio.get_running_loop().create_future()
    supervising = asyncio.create_task(Supervisor(config, program, environ, say).run(stop, up.set_result))
    try:
        supervising.add_done_callback(lambda _: up.cancel())
        await asyncio.wait([up])
        if up.cancelled():
            await supervising
        yield up.result()
    finally:
        stop.set()
        await supervising


def new_board(on_event: Listener) -> Board:
    """The board of a performance that has not begun; `on_event` is told of everything that happens."""
    return Board(PROJECT, _codec(), on_event)


async def perform(state: State, board: Board, pace: Pace) -> Outcome:
    """Let the fleet do all its work on a running system, then look at it from all sides."""
    loop = asyncio.get_running_loop()
    fleet = Fleet(state.nats_door, board, pace)
    began = loop.time()
    async with board.listening(state.nats_door):
        heed_cancellation()
        await fleet.perform()
        seconds = loop.time() - began
        proof = await asyncio.to_thread(prove, state.database_url, PROJECT, fleet.told)
        await _heard(board, proof.events)
    log = EventLog(state.database_url)
    try:
        return Outcome(
            seconds=seconds,
            proof=proof,
            heard_events=board.heard_events,
            heard_in_order=board.in_order,
            middle=await asyncio.to_thread(middle, log, _codec()),
            agreement=await asyncio.to_thread(agreement, log, _codec(), state.database_url),
        )
    finally:
        log.close()


async def _heard(board: Board, events: int) -> None:
    """Give the stream time to bring the last events; if it does not, that is part of the outcome."""
    try:
        async with asyncio.timeout(LISTENER_TIMEOUT_S):
            await board.until(lambda: board.heard_events >= events)
    except TimeoutError:
        return


def _codec() -> Codec:
    return Codec(EVENTS, upcast)
