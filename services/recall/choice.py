"""What the operator chose for recall, by the environment that the caller hands in. Touches nothing."""

from collections.abc import Mapping

from msgspec import Struct

from services.config import InvalidConfig

EMBEDDERS = ("wordllama", "minilm", "openai")


class Choice(Struct, frozen=True, kw_only=True):
    """Which embedder turns texts into vectors, and what summarises notes. It may hold a key: keep it hidden.

    `url`, `model` and `key` are an endpoint's; `threshold` is the likeness from which on texts mean the same,
    where the embedder's own is not wanted. `summariser` is `module:function`; extractive without one.
    """

    embedder: str = EMBEDDERS[0]
    url: str | None = None
    model: str | None = None
    key: str | None = None
    threshold: float | None = None
    summariser: str | None = None

    def __repr__(self) -> str:
        return f"Choice({self.embedder})"


def chosen(environ: Mapping[str, str]) -> Choice:
    """Raises InvalidConfig."""
    name = environ.get("COORD_EMBEDDER") or EMBEDDERS[0]
    if name not in EMBEDDERS:
        raise InvalidConfig(variable="COORD_EMBEDDER", expected="one of " + ", ".join(EMBEDDERS), given=name)
    return Choice(
        embedder=name,
        url=environ.get("COORD_EMBEDDER_URL") or None,
        model=environ.get("COORD_EMBEDDER_MODEL") or None,
        key=environ.get("COORD_EMBEDDER_KEY") or None,
        threshold=_threshold(environ.get("COORD_EMBEDDER_THRESHOLD") or None),
        summariser=environ.get("COORD_SUMMARISER") or None,
    )


def _threshold(text: str | None) -> float | None:
    try:
        least = None if text is None else float(text)
    except ValueError:
        least = -1.0
    if least is not None and not 0 <= least <= 1:
        raise InvalidConfig(variable="COORD_EMBEDDER_THRESHOLD", expected="a number from 0 to 1", given=text)
    return least
