"""An embedder that is asked over HTTP: any server that answers `POST /embeddings` as OpenAI's does.

Such servers bound how long a text may be, each in its own way. One text that is refused must not keep those
after it from being found, so it is asked for again, shorter.
"""

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from math import isfinite
from typing import Any

from services.errors import Unavailable
from services.recall.choice import Choice
from services.recall.embedder import EmbedderMissing, Vector, cut, unit

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 2**20
SHORTEST_CHARS = 200
"""A text no longer than this that is refused is refused for what it says."""

_PROBE = "dimensions"
_REFUSED = {400, 413, 422}

logger = logging.getLogger(__name__)


class Refused(Unavailable):
    """The server does not want these texts; it may want others."""


class Endpoint:
    """Asks the server. `dimensions` are what it answered first."""

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
        self.dimensions = len(self._asked([_PROBE])[0])

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text; of one that is too long its beginning counts. Raises Unavailable."""
        return self._embedded([cut(text) for text in texts])

    def _embedded(self, texts: Sequence[str]) -> list[Vector]:
        try:
            vectors = self._asked(texts)
        except Refused:
            return self._narrowed(texts)
        if any(len(vector) != self.dimensions for vector in vectors):
            raise Unavailable(what="The embedder", why="its vectors have other dimensions than before")
        return [unit(vector) for vector in vectors]

    def _narrowed(self, texts: Sequence[str]) -> list[Vector]:
        """The same for fewer or shorter texts. One that says what the server never wants is like nothing."""
        middle = len(texts) // 2
        if middle:
            return self._embedded(texts[:middle]) + self._embedded(texts[middle:])
        (text,) = texts
        if len(text) > SHORTEST_CHARS:
            return self._embedded([text[: len(text) // 2]])
        self._asked([_PROBE])  # a server that refuses everything is to be waited for
        logger.warning("the embedder refuses a text of %d characters; it is not found by meaning", len(text))
        return [[0.0] * self.dimensions]

    def _asked(self, texts: Sequence[str]) -> list[Vector]:
        body = json.dumps({"model": self._name, "input": texts}).encode()
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310  # the operator's own address
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310  # the same
                return _vectors(json.loads(response.read(MAX_ANSWER_BYTES)), len(texts))
        except urllib.error.HTTPError as error:
            kind = Refused if error.code in _REFUSED else Unavailable
            raise kind(what="The embedder", why=str(error)) from error
        except (HTTPException, OSError) as error:
            raise Unavailable(what="The embedder", why=str(error) or type(error).__name__) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(what="The embedder", why="its answer is not that of an embedder") from error


def _vectors(answer: Any, wanted: int) -> list[Vector]:
    """Raises ValueError, KeyError or TypeError if the answer is not so many vectors."""
    rows = sorted(answer["data"], key=lambda row: row["index"])
    vectors: list[Vector] = [[float(number) for number in row["embedding"]] for row in rows]
    if len(vectors) != wanted or not all(vectors) or not all(isfinite(n) for each in vectors for n in each):
        raise ValueError
    return vectors
