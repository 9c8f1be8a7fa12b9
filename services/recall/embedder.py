"""From texts to vectors: the models that can do it, and which one this process uses.

A model's libraries are loaded when it embeds first, and in the recall service alone. `wordllama` and `minilm`
carry their weights in their packages and never use the network; an endpoint is asked over HTTP.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from domain.errors import CoordError
from services.recall.choice import Choice

MAX_TEXT_CHARS = 8_000
"""What is embedded of a text: its beginning. More says less, and takes memory for every text beside it."""

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
    floor = 0.15

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
        found = self._model.embed([cut(text) for text in texts], norm=False)
        return [unit(vector) for vector in found.tolist()]


def _wordllama(_: Choice) -> Embedder:
    return WordLlama()


def _minilm(_: Choice) -> Embedder:
    from services.recall.minilm import MiniLM

    return MiniLM()


def _endpoint(chosen: Choice) -> Embedder:
    from services.recall.endpoint import Endpoint

    return Endpoint(chosen)


_KINDS: Mapping[str, Callable[[Choice], Embedder]] = {
    "wordllama": _wordllama,
    "minilm": _minilm,
    "openai": _endpoint,
}


def cut(text: str) -> str:
    """What is embedded of a text."""
    return text[:MAX_TEXT_CHARS]


def unit(vector: Any) -> Vector:
    """The vector with length 1; one of zeros is like nothing and stays so."""
    length = sum(number * number for number in vector) ** 0.5
    return [number / length for number in vector] if length else vector
