"""What is stored is found: by meaning, by words, as it was, and by nobody whom it is kept from."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from services.embedded.postgres import EmbeddedPostgres
from tests.conftest import running_nats, temporary_data, temporary_database
from tests.services.projecting import eventually
from tests.services.web import Web, serving

Item = dict[str, Any]


@pytest.fixture(scope="module")
def gateway(postgres_server: EmbeddedPostgres) -> Iterator[Web]:
    names = ("writer", "projector", "gateway", "recall")
    with (
        temporary_data() as data,
        running_nats(data) as nats,
        temporary_database(postgres_server) as url,
        serving(url, nats.url, data, names) as web,
    ):
        yield web


class Memories:
    """A project's memories over HTTP; each search waits for what was sent before it."""

    def __init__(self, web: Web) -> None:
        self.web = web
        self.position = 0

    def ask(self, verb: str, fields: Item, *, actor: str = "a1", project: str = "") -> Item:
        answer = self.web.post(verb, fields, project, headers={"Coord-Actor": actor})
        assert answer.status == 200, answer.text
        self.position = answer.json["position"]
        result: Item = answer.json["result"]
        return result

    def store(self, text: str, **fields: Any) -> str:
        actor, project = fields.pop("actor", "a1"), fields.pop("project", "")
        found = self.ask("memory.store", {"text": text, **fields}, actor=actor, project=project)
        return str(found["id"])

    def recall(self, project: str = "", **params: Any) -> list[Item]:
        query = urlencode({"min_position": self.position, "wait_s": 20, **params})
        answer = self.web.get(f"/api/{project or self.web.project}/recall?{query}")
        assert answer.status == 200, answer.text
        found: list[Item] = answer.json["result"]
        return found

    def ids(self, project: str = "", **params: Any) -> list[str]:
        return [hit["id"] for hit in self.recall(project, **params)]


@pytest.fixture
def memories(gateway: Web) -> Memories:
    return Memories(Web(gateway.port, gateway.data))


def test_a_memory_is_found_by_what_it_means_and_says_so(memories: Memories) -> None:
    sea = memories.store("The harbour floods when the tide is high", importance=0.7)
    memories.store("Chapter three is told by the gardener")
    (hit,) = memories.recall(text="high water in the port", least=0.1, limit=1)
    assert (hit["id"], hit["by"], hit["source"]) == (sea, "meaning", "memory")
    assert hit["row"]["text"] == "The harbour floods when the tide is high"
    assert hit["strength"] == pytest.approx(0.7, abs=0.01)


def test_error_codes_and_names_are_found_as_they_are_written(memories: Memories) -> None:
    code = memories.store("Publishing stopped with PGRST-116, because no row was there")
    path = memories.store("The parser in services/log/codec.py reads both versions")
    memories.store("Publishing is done by the relay, and the parser is new")
    first, *_ = memories.recall(text="pgrst-116")
    assert (first["id"], first["by"]) == (code, "text")
    assert memories.ids(text="codec.py", by="text") == [path]
    assert memories.ids(text="PGRST-117", by="text") == []


def test_what_is_too_much_for_one_answer_is_refused_with_a_way_out(memories: Memories) -> None:
    for number in range(12):
        memories.store(f"The harbour {number} " + "floods at high tide " * 4_900)
    asked = f"text=harbour&by=text&limit=12&min_position={memories.position}&wait_s=20"
    answer = memories.web.get(f"/api/{memories.web.project}/recall?{asked}")
    assert answer.status == 400
    assert answer.code == "answer_too_large"
    assert len(memories.recall(text="harbour", by="text", limit=3)) == 3


def test_failures_are_found_with_their_lessons(memories: Memories) -> None:
    memories.store("The migration of the archive is planned for May")
    fields = {"feature": "Archive", "approach": "Migrate all at once", "why": "It locked the tables",
              "lesson": "Migrate in batches"}  # fmt: skip
    failure = memories.ask("failure.record", fields)["id"]
    (hit,) = memories.recall(text="migrating the archive", source="failure", least=0.2)
    assert (hit["id"], hit["row"]["lesson"], hit["strength"]) == (failure, "Migrate in batches", None)


def test_decisions_are_found_and_those_that_were_superseded_only_as_of_then(memories: Memories) -> None:
    fields = {"title": "The narrator of act two", "choice": "A gardener tells it", "context": "One voice"}
    old = memories.ask("decision.record", fields)["id"]
    then = memories.position
    assert memories.ids(text="who is the narrator", source="decision", least=0.2) == [old]
    fields |= {"choice": "The captain tells it", "supersedes": old}
    new = memories.ask("decision.record", fields, actor="a2")["id"]
    assert memories.ids(text="narrator", source="decision,failure", by="text") == [new]
    assert memories.ids(text="narrator", by="text", as_of=then) == [old]
    assert memories.ids(text="narrator", by="text", status="superseded") == [old]


def test_spikes_are_found_by_what_they_showed_when_they_are_concluded(memories: Memories) -> None:
    fields = {"question": "Can two narrators take turns?", "approach": "Act two told twice"}
    spike = memories.ask("spike.initiate", fields)["id"]
    assert memories.ids(text="narrators take turns") == []
    shown = {"spike": spike, "result": "Readers lost track", "viable": False, "lessons": "Keep one voice"}
    memories.ask("spike.conclude", shown)
    (hit,) = memories.recall(text="narrators take turns", source="spike", by="meaning", least=0.2)
    assert (hit["id"], hit["row"]["lessons"], hit["row"]["viable"]) == (spike, "Keep one voice", False)


def test_kinds_tags_agents_and_times_narrow_what_is_found(memories: Memories) -> None:
    fact = memories.store("The tide turns at noon", kind="fact", tags=["sea"])
    note = memories.store("The tide is rising", tags=["sea", "risk"], actor="a2")
    assert memories.ids() == [note, fact]
    assert memories.ids(kind="fact") == [fact]
    assert memories.ids(tag="risk,land") == [note]
    assert memories.ids(agent="a2") == [note]
    assert memories.ids(since="2999-01-01T00:00:00Z") == []
    assert memories.ids(text="tide", by="text", tag="sea", agent="a1") == [fact]


def test_what_was_superseded_is_found_only_as_of_then(memories: Memories) -> None:
    old = memories.store("The captain is called Anna")
    then = memories.position
    new = memories.store("The captain is called Berta", supersedes=[old])
    assert memories.ids(text="captain", by="text") == [new]
    assert memories.ids(text="captain", by="text", as_of=then) == [old]
    assert memories.ids(text="captain", by="text", status="superseded") == [old]
    assert memories.ids(text="what is the captain called", as_of=then, least=0.1) == [old]


def test_before_a_projects_first_event_nothing_was_known(memories: Memories) -> None:
    memories.store("The captain is called Berta")
    for asked in ({"text": "captain"}, {"text": "captain", "source": "failure"}, {"source": "failure"}):
        assert memories.ids(**asked, as_of="#0") == []


def test_what_was_archived_is_not_lost(memories: Memories) -> None:
    memory = memories.store("The lighthouse is out of order")
    memories.ask("memory.archive", {"memories": [memory], "reason": "repaired"})
    assert memories.ids(text="lighthouse") == []
    assert memories.ids(text="lighthouse", status="archived", by="text") == [memory]


def test_a_private_memory_is_for_its_agent_and_those_it_shares_it_with(memories: Memories) -> None:
    own = memories.store("I doubt the ending", visibility="private")
    assert memories.ids(text="ending") == memories.ids(text="ending", reader="a2") == []
    assert memories.ids(text="ending", by="text", reader="a1") == [own]
    memories.ask("memory.share", {"memory": own, "to_agent": "a2"})
    assert memories.ids(text="ending", by="text", reader="a2") == [own]


def test_other_projects_find_what_is_shared_with_them(memories: Memories) -> None:
    home, other = memories.web.project, f"{memories.web.project[:40]}-other"
    everybody = memories.store("Rivers freeze in zzyzx weather", visibility="shared")
    chosen = memories.store("Lakes freeze in zzyzx weather")
    memories.store("Seas never freeze in zzyzx weather")
    memories.ask("memory.share", {"memory": chosen, "to_project": other})
    memories.store("Unrelated", project=other)
    shared = memories.recall(other, text="freeze in zzyzx weather", by="meaning", least=0.2)
    assert {(hit["id"], hit["project"]) for hit in shared} == {(everybody, home), (chosen, home)}
    assert set(memories.ids(other, text="zzyzx", by="text")) == {everybody, chosen}
    newer = memories.store("Ponds freeze in zzyzx weather", supersedes=[chosen])
    assert set(memories.ids(other, text="zzyzx", by="text")) == {everybody, newer}


def test_a_fork_has_once_what_its_origin_shares_with_all(memories: Memories) -> None:
    origin, fork = memories.web.project, f"{memories.web.project[:40]}-fork"
    told = memories.store("The qwxyz aqueduct is made of stone", visibility="shared")
    memories.ask("project.fork", {"origin": origin, "sequence": 1}, project=fork)
    for by in ("text", "meaning"):
        (hit,) = memories.recall(fork, text="qwxyz aqueduct", by=by, least=0.3)
        assert (hit["id"], hit["project"]) == (told, fork)
    newer = memories.store("The qwxyz aqueduct is made of wood", project=fork, supersedes=[told])
    assert memories.ids(fork, text="qwxyz", by="text") == [newer]


def test_a_fork_knows_what_its_origin_knew_and_a_restore_forgets(memories: Memories) -> None:
    origin, fork = memories.web.project, f"{memories.web.project[:40]}-fork"
    first = memories.store("The bridge is made of stone")
    rows = memories.web.get(f"/api/{origin}/memories?min_position={memories.position}").json["result"]
    sequence = rows[0]["sequence"]
    second = memories.store("The bridge is closed in winter")
    memories.ask("project.fork", {"origin": origin, "sequence": sequence}, project=fork)
    assert memories.ids(fork, text="bridge", by="text") == [first]
    memories.store("The bridge has a toll", project=fork, supersedes=[first])
    assert first not in memories.ids(fork, text="bridge", by="text")
    assert set(memories.ids(text="bridge", by="text")) == {first, second}
    memories.ask("project.restore", {"sequence": sequence, "reason": "back"})
    assert memories.ids(text="bridge", by="text") == [first]
    assert memories.ids(text="a bridge that is closed", by="meaning", least=0.1) == [first]


def test_the_notes_of_an_agent_become_one_when_it_ends(memories: Memories) -> None:
    memories.ask("agent.spawn", {"persona": "plot"}, actor="a1")
    notes = [memories.store(f"The harbour scene needs more fog, draft {each}.") for each in "abc"]
    fact = memories.store("The harbour is in the north", kind="fact")
    memories.ask("agent.leave", {}, actor="a1")
    summary = _summary(memories)
    assert (summary["agent"], set(summary["supersedes"])) == ("service-recall", set(notes))
    assert "fog" in summary["text"]
    assert memories.ids(text="harbour", by="text", kind="fact") == [fact]


def test_the_notes_of_a_session_become_one_when_it_ends(memories: Memories) -> None:
    session = memories.ask("session.start", {"focus": "the harbour"}, actor="a1")["id"]
    notes = [memories.store(f"The harbour scene needs more fog, draft {each}.", actor="a1") for each in "abc"]
    other = memories.store("The mill has no roof", actor="a2")
    memories.ask("session.end", {"session": session}, actor="a1")
    summary = _summary(memories)
    assert (summary["session"], set(summary["supersedes"])) == (session, set(notes))
    assert memories.ids(text="mill", by="text") == [other]


def _summary(memories: Memories) -> Item:
    """It comes by itself, so its event is waited for."""
    path, found = f"/api/{memories.web.project}/memories?kind=summary", list[Item]()

    def is_there() -> bool:
        found[:] = memories.web.get(path).json["result"]
        return bool(found)

    eventually(is_there)
    return found[0]


def test_what_is_wrong_with_a_search_is_said(memories: Memories) -> None:
    project = memories.web.project
    memories.store("x y z")
    for query, code in (
        ("source=dreams", "bad_input"),
        ("by=magic", "bad_input"),
        ("as_of=not+a+point", "bad_point"),
    ):
        answer = memories.web.get(f"/api/{project}/recall?{query}")
        assert answer.code == code, query


def test_patterns_are_found_by_what_they_say(memories: Memories) -> None:
    memories.ask("pattern.define", {"pattern": "stripes", "description": "Draw a zebra line by line"})
    (hit,) = memories.recall(text="zebra", by="text")
    assert (hit["source"], hit["id"], hit["row"]["pattern"]) == ("pattern", "stripes", "stripes")


def test_a_pattern_that_is_said_anew_is_found_by_its_old_words_only_as_of_then(memories: Memories) -> None:
    memories.ask("pattern.define", {"pattern": "animals", "description": "Draw a zebra line by line"})
    then = memories.position
    memories.ask(
        "pattern.define", {"pattern": "animals", "description": "Paint each giraffe from its photograph"}
    )
    assert memories.ids(text="zebra", by="text") == []
    assert memories.ids(text="a zebra of lines", by="meaning", least=0.5) == []
    assert memories.ids(text="giraffe", by="text") == ["animals"]
    assert memories.ids(text="zebra", by="text", as_of=then) == ["animals"]
    assert memories.ids(text="giraffe", by="text", as_of=then) == []
    assert memories.ids(source="pattern") == ["animals"]
