"""`coordctl demo`, as somebody sees it who has just installed it."""

import json
import re
from pathlib import Path

from tests.acceptance.system import System


def test_the_demo_does_all_its_work_proves_it_looks_back_and_leaves_nothing_behind(data: Path) -> None:
    system = System(data, TMPDIR=str(data))

    told = system.run("demo", "--fast")

    assert "tasks done: 72/72" in told
    assert re.search(r"claims lost: 0 of \d+\n", told)
    assert "double claims: 0\n" in told
    assert re.search(r"the lease of (ada|ben) on draft.ch02 expired", told)
    assert "failed at location.archive (failure 1)" in told
    assert "took draft.ch07 over from" in told
    assert "Replayed to the middle of the run" in told
    assert re.search(r"A replay at the end equals the read models row for row: \d+ rows", told)
    assert "Everything holds." in told
    assert system.processes() == []
    assert list(data.iterdir()) == []


def test_the_demo_as_json_is_one_document_and_data_can_be_kept(data: Path) -> None:
    system = System(data, TMPDIR=str(data))

    outcome = json.loads(system.run("demo", "--fast", "--keep", "--json"))

    assert outcome["holds"]
    assert outcome["proof"]["done"] == outcome["proof"]["tasks"] == len(outcome["middle"]["queue"])
    (kept,) = data.iterdir()
    assert (kept / "postgres").is_dir()
    assert system.processes() == []
