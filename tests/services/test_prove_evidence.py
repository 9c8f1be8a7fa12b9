"""Evidence is written as it comes and read back line by line, whatever its size."""

from itertools import count
from pathlib import Path

from services.prove import evidence
from services.prove.evidence import Ask, Evidence, Logged, Told, Transcript, Unanswered, write_lines


def test_a_transcript_tells_what_was_asked_and_told_in_order(tmp_path: Path) -> None:
    ticks = count(1)
    reply = {"ok": True, "position": 7, "result": {}, "sequence": 3}
    with Transcript(tmp_path, "c1", clock=lambda: float(next(ticks))) as transcript:
        transcript.ask("id-1", "novel", "ada", "task.claim", {"count": 1})
        transcript.unanswered("id-1", "timed out")
        transcript.ask("id-1", "novel", "ada", "task.claim", {"count": 1}, attempt=2)
        transcript.told("id-1", reply, attempt=2)
    asked = {"client": "c1", "id": "id-1", "project": "novel", "actor": "ada", "verb": "task.claim"}
    assert [*Evidence(tmp_path).said()] == [
        Ask(**asked, at=1, attempt=1, body={"count": 1}),
        Unanswered(client="c1", id="id-1", at=2, attempt=1, why="timed out"),
        Ask(**asked, at=3, attempt=2, body={"count": 1}),
        Told(client="c1", id="id-1", at=4, attempt=2, reply=reply),
    ]


def test_a_transcript_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    for number in (1, 2):
        with Transcript(tmp_path, "c1") as transcript:
            transcript.unanswered(f"id-{number}", "timed out")
    assert [said.id for said in Evidence(tmp_path).said()] == ["id-1", "id-2"]


def test_lines_longer_than_what_is_read_at_once_come_whole(tmp_path: Path) -> None:
    events = [
        Logged(
            position=number,
            project="novel",
            sequence=number,
            topic="task.progressed@1",
            body={"note": "ü" * number * evidence.CHUNK_BYTES},
        )
        for number in range(4)
    ]
    assert write_lines(tmp_path / evidence.LOG, events) == 4
    assert [*Evidence(tmp_path).log()] == events


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert [*Evidence(tmp_path).stream()] == []
    assert [*Evidence(tmp_path).faults()] == []
