"""From texts to vectors: the models that can do it, and which one this process uses.

A model's libraries are loaded when it embeds first, and in the recall service alone. `wordllama` and `minilm`
carry their weights in their packages and never use the network; an endpoint is asked over HTTP.
"""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from domain.errors import CoordError
from services.errors import Unavailable
from services.recall.choice import Choice

MAX_TEXT_CHARS = 8_000
"""What is embedded of a text: its beginning. More says less, and takes memory for every text beside it."""

ENDPOINT_TIMEOUT_S = 10.0
MAX_ENDPOINT_BYTES = 64 * 2**20

Vector = Sequence[float]


class EmbedderMissing(CoordError):
    code = "embedder_missing"
    says = "The embedder {name} cannot be used ({why}); {what}."


class Embedder(Protocol):
    """Texts to vectors of length 1. `model` names what made them: others cannot be compared with them.

    Likeness is the cosine. From `floor` on a text may be what was looked for; from `threshold` on it is told
    of even if nobody asked, since hardly anything is so much alike by chance (`coordctl bench recall`).
    """

    model: str
    dimensions: int
    threshold: float
    floor: float

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text, none of which is empty. Raises EmbedderMissing or Unavailable."""


def opened(chosen: Choice) -> Embedder:
    """The embedder that the operator chose, loaded. Raises EmbedderMissing or Unavailable."""
    embedder = _KINDS[chosen.embedder](chosen)
    if chosen.threshold is not None:
        embedder.threshold = chosen.threshold
        embedder.floor = min(embedder.floor, chosen.threshold)
    return embedder


class WordLlama:
    """Means of word vectors: small, in half a millisecond, and blind to the order of words."""

    model = "wordllama-l2-supercat-256"
    dimensions = 256
    threshold = 0.3
    floor = 0.2

    def __init__(self) -> None:
        try:
            root = logging.getLogger()
            level = root.level
            import wordllama  # type: ignore[import-not-found,import-untyped,unused-ignore]  # ships no types

            root.setLevel(level)  # the library sets it for everybody
        except ImportError as error:
            raise EmbedderMissing(name="wordllama", why=error, what="install coordctl anew") from error
        folder = Path(wordllama.__file__).parent
        self._model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True)

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        found = self._model.embed([_cut(text) for text in texts], norm=False)
        return [_unit(vector) for vector in found.tolist()]


class Endpoint:
    """Any server that answers `POST /embeddings` as OpenAI's does."""

    threshold = 0.45
    floor = 0.3

    def __init__(self, chosen: Choice) -> None:
        if not chosen.url or not chosen.model:
            what = "set COORD_EMBEDDER_URL and COORD_EMBEDDER_MODEL"
            raise EmbedderMissing(name="openai", why="it has no address or no model", what=what)
        self._url = chosen.url.rstrip("/") + "/embeddings"
        self._name = chosen.model
        self._key = chosen.key
        self.model = f"{chosen.model}@{chosen.url}"
        self.dimensions = len(self.embed(["dimensions"])[0])

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        body = json.dumps({"model": self._name, "input": [_cut(text) for text in texts]}).encode()
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310  # the operator names it  # the operator's own address
        try:
            with urllib.request.urlopen(request, timeout=ENDPOINT_TIMEOUT_S) as response:  # noqa: S310
                answer = json.loads(response.read(MAX_ENDPOINT_BYTES))
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = [[float(number) for number in row["embedding"]] for row in rows]
        except (urllib.error.URLError, TimeoutError, OSError) as error:
            raise Unavailable(what="The embedder", why=str(error)) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(what="The embedder", why="its answer is not that of an embedder") from error
        if len(vectors) != len(texts) or not all(vectors):
            raise Unavailable(what="The embedder", why="it did not embed every text")
        return [_unit(vector) for vector in vectors]


def _wordllama(_: Choice) -> Embedder:
    return WordLlama()


def _minilm(_: Choice) -> Embedder:
    from services.recall.minilm import MiniLM

    return MiniLM()


_KINDS: Mapping[str, Callable[[Choice], Embedder]] = {
    "wordllama": _wordllama,
    "minilm": _minilm,
    "openai": Endpoint,
}


def _cut(text: str) -> str:
    return text[:MAX_TEXT_CHARS]


def _unit(vector: Any) -> Vector:
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector] if length else vector
