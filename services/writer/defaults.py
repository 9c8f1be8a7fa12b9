"""The system's settings: the defaults of every project, for all writers of one process.

The writer that owns the system's project keeps them here itself, as it decides. In a process that does not
own it they follow the log, FOLLOW_S behind at most. Reads the log; writes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from threading import Lock

from domain.decider import evolve
from domain.errors import CoordError
from domain.ledger import Ledger
from domain.messages import SYSTEM_PROJECT, Data
from domain.settings import SettingId
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.waiting import either

FOLLOW_S = 0.5
AWAY_WAIT_S = 2.0
UNKNOWN = -1

logger = logging.getLogger(__name__)


class Defaults:
    """`values` is one mapping for ever: ledgers look into it."""

    def __init__(self) -> None:
        self.values: dict[SettingId, Data] = {}
        self.kept_here = False
        self.sequence = UNKNOWN
        self._turn = Lock()

    def keep(self, ledger: Ledger) -> None:
        """From now on the ledger of the system's project sets them."""
        with self._turn:
            self.kept_here = True
            self.sequence = UNKNOWN
            self._replace(ledger.settings)
            ledger.settings = self.values

    def leave(self, owned: Callable[[str], bool]) -> None:
        """The writer of these projects ends: nobody here keeps the defaults, if it did."""
        with self._turn:
            if owned(SYSTEM_PROJECT):
                self.kept_here = False

    def follow(self, settings: Mapping[SettingId, Data], sequence: int) -> None:
        """Set them to what they were at a sequence of the system's project, unless they are kept here."""
        with self._turn:
            if not self.kept_here:
                self.sequence = sequence
                self._replace(settings)

    def _replace(self, settings: Mapping[SettingId, Data]) -> None:
        """In an order that lets nobody meet a moment without them."""
        self.values.update(settings)
        for gone in self.values.keys() - settings.keys():
            del self.values[gone]


class Follower:
    """Brings the defaults up to the log while no writer of this process keeps them."""

    def __init__(self, defaults: Defaults, log: EventLog, codec: Codec) -> None:
        self._defaults = defaults
        self._log = log
        self._codec = codec

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until told to stop."""
        pause_s = FOLLOW_S
        while not await either(stop, pause_s):
            try:
                await asyncio.to_thread(self.catch_up)
            except CoordError as error:
                logger.warning("the system's settings cannot be followed now: %s", error)
                pause_s = AWAY_WAIT_S
                continue
            if pause_s != FOLLOW_S:
                logger.info("the system's settings are followed again")
            pause_s = FOLLOW_S

    def catch_up(self) -> None:
        """Raises LogUnavailable."""
        if self._defaults.kept_here:
            return
        last, _ = self._log.project_head(SYSTEM_PROJECT)
        if last != self._defaults.sequence:
            self._defaults.follow(self._fold(), last)

    def _fold(self) -> Mapping[SettingId, Data]:
        ledger = Ledger(SYSTEM_PROJECT)
        while rows := self._log.read_history(SYSTEM_PROJECT, ledger.sequence):
            for recorded in map(self._codec.decode, rows):
                evolve(ledger, recorded.event, recorded.sequence, recorded.at)
        return ledger.settings
