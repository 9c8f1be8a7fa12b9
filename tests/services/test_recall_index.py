"""The index of recall: made from the log, whatever the embedder does, and made anew by any other."""

import asyncio
import json
import math
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

from domain.catalog import EVENTS, upcast
from domain.memory import MemoryStored
from domain.messages import Context
from projections.catalog import PROJECTIONS
from services.config import InvalidConfig
from services.errors import Unavailable
from services.log.codec import Codec
from services.log.event_log import EventLog
from services.projector.projector import Projector
from services.projector.tables import connected
from services.recall import tables
from services.recall.choice import Choice, chosen
from services.recall.embedder import Embedder, EmbedderMissing, Vector, opened
from services.recall.indexing import Indexer
from services.recall.minilm import PACKAGE
from services.recall.searching import Search
from services.recall.summaries import Note, extract, summariser, told
from services.recall.words import terms
from tests.domain.given import START

CODEC = Codec(EVENTS, upcast)


class Letters:
    """Texts that begin with the same letter mean the same to it."""

    threshold = floor = 0.5

    def __init__(self, model: str = "letters", dimensions: int = 32) -> None:
        self.model = model
        self.dimensions = dimensions
        self.asked = 0
        self.away = False

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.away:
            raise Unavailable(what="The embedder", why="it is away")
        self.asked += len(texts)
        return [
            [float(place == ord(text[0]) % self.dimensions) for place in range(self.dimensions)]
            for text in texts
        ]


class Shelf:
    """A log with memories, their read model, an index, and searches in it."""

    def __init__(self, log: EventLog, url: str, embedder: Embedder, hnsw_rows: int = 1_000) -> None:
        self.log, self.url, self.embedder = log, url, embedder
        self.indexer = Indexer(log, CODEC, url, lambda: embedder, hnsw_rows=hnsw_rows)
        self.stored = 0

    def store(self, *texts: str, project: str = "novel") -> None:
        events = []
        for text in texts:
            self.stored += 1
            event = MemoryStored(
                memory=f"m-{self.stored}",
                agent="a1",
                text=text,
                kind="note",
                importance=0.5,
                visibility="project",
            )
            context = Context(project=project, actor="a1", at=START, command_id=f"c{self.stored}")
            events.append(CODEC.encode(event, context, self.stored))
        self.log.append(events)
        Projector(self.log, CODEC, self.url, PROJECTIONS).catch_up()

    def find(self, text: str, **params: object) -> list[tuple[str, str]]:
        """Which texts are found, and by what."""
        with Search(self.url, self.log, CODEC, lambda: self.embedder) as search:
            _, hits = search.find("novel", {"text": text, **params})
        return [(hit.row["text"], hit.by) for hit in hits]

    def models(self) -> list[str]:
        with connected(self.url) as connection:
            return [each.model for each in tables.models(connection)]


@pytest.fixture
def shelf(log: EventLog, database_url: str) -> Shelf:
    return Shelf(log, database_url, Letters())


def test_without_its_embedder_words_are_found_and_meaning_later(shelf: Shelf) -> None:
    assert isinstance(shelf.embedder, Letters)
    shelf.store("apple pie", "bread E4021")
    shelf.embedder.away = True
    with pytest.raises(Unavailable):
        shelf.indexer.catch_up()
    assert shelf.find("e4021") == [("bread E4021", "text")]
    assert shelf.find("anything alike") == []
    with pytest.raises(Unavailable):
        shelf.find("anything alike", by="meaning")
    shelf.embedder.away = False
    shelf.indexer.catch_up()
    assert shelf.find("anything alike") == [("apple pie", "meaning")]


def test_another_model_embeds_everything_anew_and_the_old_vectors_go(shelf: Shelf) -> None:
    shelf.store("apple pie", "bread")
    shelf.indexer.catch_up()
    other = Letters("others", dimensions=40)
    moved = Shelf(shelf.log, shelf.url, other)
    assert moved.find("anything alike") == []
    moved.indexer.catch_up()
    assert other.asked == 3  # the query, and two texts
    assert moved.find("anything alike") == [("apple pie", "meaning")]
    assert moved.models() == ["others"]


def test_vectors_that_do_not_fit_a_page_are_kept_and_found(log: EventLog, database_url: str) -> None:
    shelf = Shelf(log, database_url, Letters("long", dimensions=5_000), hnsw_rows=1)
    shelf.store("apple pie")
    shelf.indexer.catch_up()
    assert shelf.find("anything alike") == [("apple pie", "meaning")]


def test_a_text_is_embedded_once_however_often_the_index_catches_up(shelf: Shelf) -> None:
    assert isinstance(shelf.embedder, Letters)
    shelf.store("apple pie")
    shelf.indexer.catch_up()
    shelf.store("bread")
    shelf.indexer.catch_up()
    shelf.indexer.catch_up()
    assert shelf.embedder.asked == 2


def test_what_is_found_is_told_page_by_page(shelf: Shelf) -> None:
    shelf.store(*(f"apple {number}" for number in range(25)))
    shelf.indexer.catch_up()
    pages = [shelf.find("apple", limit=10, offset=offset) for offset in (0, 10, 20)]
    assert [*map(len, pages)] == [10, 10, 5]
    assert len({text for page in pages for text, _ in page}) == 25
    assert [text for text, _ in shelf.find("apple", limit=1, max_chars=3)] == ["ap…"]


def test_an_index_that_was_thrown_away_is_made_again_from_the_log(shelf: Shelf) -> None:
    shelf.store("apple pie")
    shelf.indexer.catch_up()
    with connected(shelf.url) as connection:
        tables.clear_texts(connection)
    assert shelf.find("apple") == []
    shelf.indexer.catch_up()
    assert shelf.find("apple", by="text") == [("apple pie", "text")]


def test_a_large_project_gets_an_index_of_its_own_that_finds_the_same(
    log: EventLog, database_url: str
) -> None:
    shelf = Shelf(log, database_url, Letters(), hnsw_rows=20)
    shelf.store(*(f"{letter}{number}" for letter in "abc" for number in range(10)))
    shelf.indexer.catch_up()
    with connected(database_url) as connection:
        (model,) = tables.models(connection)
        name = tables.index_name(model, "novel")
        found = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", (name,)).fetchone()
        assert found is not None
        assert "USING hnsw" in found[0]
        assert "novel" in found[0]
    assert {text[0] for text, _ in shelf.find("anything", by="meaning", limit=10)} == {"a"}


def test_words_are_kept_whole_and_in_parts() -> None:
    found = terms("Look at services/log/codec.py (line 12): KeyError('E-17') was raised, again and again.")
    assert {"services/log/codec.py", "codec", "py", "keyerror", "e-17", "raised"} <= {*found.all}
    assert "services/log/codec.py" in found.whole
    assert not {"and", "was", "at"} & {*found.all}


def test_a_summary_says_what_the_notes_have_in_common() -> None:
    notes = [
        Note("The harbour needs fog. I had soup.", 0.5),
        Note("More fog in the harbour.", 0.5),
        Note("The fog of the harbour hides the boat.", 0.9),
    ]
    told = extract(notes).splitlines()
    assert "I had soup." not in told[:1]
    assert "The fog of the harbour hides the boat." in told
    long = [Note(f"Sentence number {n} is of some length and says little. " * 3, 0.5) for n in range(50)]
    assert len(extract(long)) <= 1_500


def test_a_summariser_of_ones_own_is_named_by_module_and_function(tmp_path: Path) -> None:
    assert summariser("tests.services.test_recall_index:shout")([Note("x", 1.0)]) == "X"
    with pytest.raises(InvalidConfig, match="COORD_SUMMARISER"):
        summariser("nowhere:nothing")


def test_notes_are_summarised_even_if_the_summariser_fails(caplog: pytest.LogCaptureFixture) -> None:
    notes = [Note("The harbour needs fog.", 0.5)]

    def broken(_: Sequence[Note]) -> str:
        raise ZeroDivisionError

    assert asyncio.run(told(shout, notes)) == "THE HARBOUR NEEDS FOG."
    assert asyncio.run(told(broken, notes)) == "The harbour needs fog."
    assert asyncio.run(told(lambda _: " ", notes)) == "The harbour needs fog."
    assert "ZeroDivisionError" in caplog.text


def shout(notes: Sequence[Note]) -> str:
    return notes[0].text.upper()


def test_the_embedder_is_chosen_by_the_environment() -> None:
    assert chosen({}).embedder == "wordllama"
    told = chosen(
        {"COORD_EMBEDDER": "openai", "COORD_EMBEDDER_KEY": "secret", "COORD_EMBEDDER_THRESHOLD": "0.4"}
    )
    assert (told.key, told.threshold) == ("secret", 0.4)
    assert "secret" not in repr(told)
    for name, value in (("COORD_EMBEDDER", "magic"), ("COORD_EMBEDDER_THRESHOLD", "high")):
        with pytest.raises(InvalidConfig, match=name):
            chosen({name: value})


LONGEST = 1_000
"""Characters that the endpoint takes of a text."""


class Answers(BaseHTTPRequestHandler):
    """An endpoint as OpenAI has it, which wants a key, bounds texts, and has bad days when it is asked to."""

    def do_POST(self) -> None:  # the library's name
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer secret" or "bad day" in asked["input"]:
            self.send_error(503)
            return
        if any(len(text) > LONGEST or "\x07" in text for text in asked["input"]):
            self.send_error(400)
            return
        if "no number" in asked["input"]:
            asked["input"] = [math.nan]
        rows = [
            {"index": n, "embedding": [3.0, float(len(t)) if isinstance(t, str) else t]}
            for n, t in enumerate(asked["input"])
        ]
        body = json.dumps({"data": rows[::-1]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_embeds_and_says_when_it_cannot(endpoint: str) -> None:
    choice = Choice(embedder="openai", url=endpoint, model="m", key="secret", threshold=0.4)
    embedder = opened(choice)
    assert (embedder.dimensions, embedder.threshold) == (2, 0.4)
    assert [[round(number, 2) for number in each] for each in embedder.embed(["1234", "x"])] == [
        [0.6, 0.8],
        [0.95, 0.32],
    ]
    with pytest.raises(Unavailable):
        embedder.embed(["bad day"])
    with pytest.raises(Unavailable):
        opened(Choice(embedder="openai", url=endpoint, model="m", key="wrong"))
    with pytest.raises(EmbedderMissing, match="COORD_EMBEDDER_URL"):
        opened(Choice(embedder="openai"))


def test_a_text_that_an_endpoint_refuses_keeps_no_other_from_being_embedded(endpoint: str) -> None:
    embedder = opened(Choice(embedder="openai", url=endpoint, model="m", key="secret"))
    found = embedder.embed(["1234", "long " * LONGEST, "bell \x07", "1234"])
    assert [[round(number, 2) for number in each] for each in (found[0], found[3])] == [[0.6, 0.8]] * 2
    assert found[1][1] > found[0][1]
    assert found[2] == [0.0, 0.0]
    with pytest.raises(Unavailable, match="not that of an embedder"):
        embedder.embed(["no number"])


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="the weights of minilm are an extra")
def test_minilm_knows_a_paraphrase_from_something_else() -> None:
    embedder = opened(Choice(embedder="minilm"))
    ship, boss, fruit = embedder.embed(
        ["Berta is the captain of the ship", "Who commands the vessel?", "Bananas are yellow"]
    )
    assert len(ship) == embedder.dimensions
    assert sum(a * b for a, b in zip(ship, boss, strict=True)) > embedder.threshold
    assert sum(a * b for a, b in zip(ship, fruit, strict=True)) < embedder.floor
