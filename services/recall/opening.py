"""The embedder of a process: loaded once, when it is first needed; tried again later if it cannot be."""

from threading import Lock
from time import monotonic

from domain.errors import CoordError
from services.recall.choice import Choice
from services.recall.embedder import Embedder, opened

AGAIN_S = 5.0
"""After how long one that could not be loaded is tried again; until then everybody hears why."""


class Opening:
    """Gives the embedder to all threads of the process."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._turn = Lock()
        self._embedder: Embedder | None = None
        self._failed: CoordError | None = None
        self._again_at_s = 0.0

    def embedder(self) -> Embedder:
        """Raises EmbedderMissing or Unavailable."""
        return self._embedder or self._opened()

    def _opened(self) -> Embedder:
        with self._turn:
            if self._failed is not None and monotonic() < self._again_at_s:
                raise self._failed
            try:
                found = self._embedder = self._embedder or opened(self._choice)
            except CoordError as error:
                self._failed, self._again_at_s = error, monotonic() + AGAIN_S
                raise
            return found
