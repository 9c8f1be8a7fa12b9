"""`coordctl prove claims`: a fleet works while parts of the system fail, and what it was told is checked.

The one place where the pieces of a run are put together: system, fleet, operator, probes, faults, evidence.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from platform import python_version
from time import time

import msgspec
import psycopg
from msgspec import Struct
from msgspec.structs import replace
from nats.errors import Error as NatsError

from domain.errors import CoordError
from services.errors import Unavailable
from services.health import standing
from services.prove.checker import check
from services.prove.checker.findings import Finding
from services.prove.collecting import collect_log, collect_rows, collect_stream
from services.prove.evidence import FAULTS as FAULTS_FILE
from services.prove.evidence import Evidence, Lines, Plan
from services.prove.faults import FAULTS, inject
from services.prove.fleet import Fleet, Stalled
from services.prove.operator import Operator
from services.prove.recovery import Probes, caught_up, patiently
from services.prove.result import Done, Recovery, Result, Size
from services.prove.script import Moment, Script
from services.prove.site import Site, running_site
from services.prove.tally import Tally, tally
from services.waiting import heed_cancellation

AROUND_S = 2.0
"""How long before and after a fault the throughput is measured."""

TASKS_PER_ROUND = 20_000
MAX_ROUNDS = 5
QUIET_S = 1.0
WHOLE_TIMEOUT_S = 60.0
LOOK_S = 0.1

Note = Callable[[str], None]


class FolderInUse(CoordError):
    code = "folder_in_use"
    says = "{folder} is not empty, and evidence is not mixed with anything; name another folder."


class Options(Struct, frozen=True, kw_only=True):
    """What is asked for; `keep` is where the evidence is to stay."""

    script: Script
    faults: tuple[str, ...] = tuple(FAULTS)
    keep: Path | None = None


async def prove_claims(
    options: Options, program: Sequence[str], environ: Mapping[str, str], note: Note
) -> Result:
    """The whole run, on a system that is started for it and gone afterwards."""
    with _evidence(options.keep) as folder:
        with running_site(program, environ) as site:
            run, versions = _Run(options, site, folder, note), await _versions(site)
            await run.drive(environ)
            checks = await run.collect()
            size = Size(evidence_bytes=_bytes(folder), data_bytes=site.disk_bytes())
            if run.trouble:
                note(f"{run.trouble}; the services said last:\n{site.log_tail()}")
        note("checking the evidence")
        checks = [*(await asyncio.to_thread(check, folder)).findings, *checks]
        numbers = await asyncio.to_thread(tally, Evidence(folder).transcripts())
        result = Result(
            script=options.script,
            versions=versions,
            done=run.done(numbers),
            faults=[_with_rates(each, numbers) for each in run.recoveries],
            checks=checks,
            size=size,
            trouble=run.trouble,
        )
        if options.keep is None and result.ok:
            shutil.rmtree(folder)
            return result
        return replace(result, evidence=folder)


class _Run:
    """A run as it goes."""

    def __init__(self, options: Options, site: Site, folder: Path, note: Note) -> None:
        self._options = options
        self._script = options.script
        self._site = site
        self._folder = folder
        self._note = note
        self._instances = set(site.pids())
        self._began = time()
        self._ended = self._began
        self._completed = 0
        self._events = 0
        self.recoveries: list[Recovery] = []
        self.trouble = ""

    async def drive(self, environ: Mapping[str, str]) -> None:
        """Let the fleet work and the faults happen until every task is completed, or that fails."""
        projects = self._script.project_names()
        async with (
            Operator(self._site, self._folder, projects) as operator,
            Probes(self._site, self._folder, projects) as probes,
            Fleet(self._site.nats_url, self._folder, self._script, environ) as fleet,
        ):
            await operator.prepare()
            heed_cancellation()
            reviving = asyncio.create_task(operator.run())
            self._began = time()
            try:
                await self._work(fleet, probes)
            except (Stalled, CoordError) as error:
                self.trouble = str(error)
            finally:
                self._ended, self._completed = time(), fleet.completed
                reviving.cancel()
                with suppress(asyncio.CancelledError, CoordError):
                    await reviving
            await self._stop(fleet)

    async def _work(self, fleet: Fleet, probes: Probes) -> None:
        script, faults = self._script, self._options.faults
        rounds = max(1, min(MAX_ROUNDS, script.tasks // TASKS_PER_ROUND))
        moments = script.moments(faults, rounds)
        margin = max(2 * script.agents, script.tasks // 25)
        for moment, following in zip_longest(moments, moments[1:]):
            heed_cancellation()
            fleet.allow(moment.completions + margin)
            await fleet.reach(moment.completions)
            fleet.allow(following.completions + margin if following else script.tasks)
            with Lines(self._folder / FAULTS_FILE) as lines:
                await self._fault(moment, fleet, probes, lines)
        fleet.allow(script.tasks)
        self._note(f"{fleet.completed} of {script.tasks} tasks completed; no more faults")
        await fleet.reach(script.tasks)

    async def _fault(self, moment: Moment, fleet: Fleet, probes: Probes, lines: Lines) -> None:
        """One fault, until all is well again."""
        says = FAULTS[moment.fault].says
        self._note(f"{fleet.completed} of {self._script.tasks} tasks completed; {says}")
        completions = fleet.completed
        injected = await inject(self._site, moment.fault, moment.choice)
        at = time()
        lines.add({"at": at, "fault": moment.fault, "completions": completions, "victims": injected.victims})
        try:
            written = await probes.written()
            answered, caught = await asyncio.gather(probes.answered(at), caught_up(self._site, written, at))
        finally:
            if injected.ending is not None:
                await injected.ending
        recovery = Recovery(
            fault=moment.fault, says=says, at=at, completions=completions, victims=injected.victims,
            answered=answered, **caught,
        )  # fmt: skip
        self.recoveries.append(recovery)
        lines.add({"at": time(), "fault": "over", "recovery": msgspec.to_builtins(recovery)})
        await self._whole()

    async def _whole(self) -> None:
        """Wait until every process is there again, so that the next fault finds its victim."""
        until = time() + WHOLE_TIMEOUT_S
        while missing := self._instances - set(self._site.pids()):
            if time() > until:
                raise Unavailable(what=", ".join(sorted(missing)), why="it was not started again")
            await asyncio.sleep(LOOK_S)

    async def _stop(self, fleet: Fleet) -> None:
        try:
            await fleet.stop()
        except CoordError as error:
            self.trouble = self.trouble or str(error)

    async def collect(self) -> list[Finding]:
        """Write down what is there when nothing moves any more; returns what `coordctl verify` finds."""
        self._note("collecting the evidence")
        folder, site = self._folder, self._site
        Evidence(folder).write_plan(self._plan())
        try:
            await self._quiet()
            self._events = await asyncio.to_thread(collect_log, site.database_url, folder)
            await asyncio.to_thread(collect_rows, site.database_url, folder)
            await collect_stream(site.nats_url, folder)
            return [_finding(found) for found in await site.verified()]
        except (CoordError, NatsError, psycopg.Error) as error:
            self.trouble = self.trouble or str(error)
            return []

    async def _quiet(self) -> None:
        """Wait until the log grows no more and everybody has caught up. Raises Unavailable."""
        head, since = 0, time()
        while time() - since < QUIET_S:
            before, head = head, await patiently(self._site.head, "PostgreSQL")
            if head != before:
                since = time()
            await asyncio.sleep(LOOK_S)
        await caught_up(self._site, head, time())

    def _plan(self) -> Plan:
        script = self._script
        tasks = {project: list(script.task_ids(project)) for project in script.project_names()}
        return Plan(
            seed=script.seed,
            projects=script.project_names(),
            agents=script.agents,
            tasks=tasks,
            finished=not self.trouble,
        )

    def done(self, numbers: Tally) -> Done:
        return Done(
            seconds=self._ended - self._began,
            completed=self._completed,
            commands=sum(numbers.outcomes.values()),
            asks=numbers.asked,
            repeated=numbers.repeated,
            unanswered=numbers.unanswered,
            events=self._events,
            outcomes=numbers.by_verb(),
        )


def _with_rates(recovery: Recovery, numbers: Tally) -> Recovery:
    over = recovery.at + recovery.answered_s
    return replace(
        recovery,
        before=numbers.per_second(recovery.at - AROUND_S, recovery.at),
        during=numbers.per_second(recovery.at, over),
        after=numbers.per_second(over, over + AROUND_S),
    )


def _finding(found: dict[str, object]) -> Finding:
    """A check of `coordctl verify` among the others."""
    name = f"verify: {found['name']}" + (f" of {found['project']}" if "project" in found else "")
    good, events = bool(found["ok"]), found.get("events")
    told = [] if good else [str(found["found"])]
    examined = events if isinstance(events, int) else 1
    return Finding(check=name, ok=good, examined=examined, count=len(told), violations=told)


@contextmanager
def _evidence(keep: Path | None) -> Iterator[Path]:
    """The folder; one of our own is gone when the run is broken off."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise FolderInUse(folder=keep)
        yield keep
        return
    folder = Path(tempfile.mkdtemp(prefix="coordctl-evidence-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder)
        raise


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


async def _versions(site: Site) -> dict[str, str]:
    async with standing.connected(site.nats_url) as nats:
        server = str(nats.connected_server_version)
    with psycopg.connect(site.database_url) as connection:
        (postgres,) = connection.execute("SHOW server_version").fetchone() or ("",)
    return {
        "coordctl": version("coordctl"),
        "python": python_version(),
        "nats-server": server,
        "postgres": str(postgres),
    }
