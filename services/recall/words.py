"""Texts as the words they hold, for searching them as they are written. Pure.

A word is kept whole, as far as it is written without a space: `E1234`, `coord.events`, `services/log.py:12`.
What it is made of is kept beside it, so that a part finds the whole. A search is for any of its words; those
that few texts have count most.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from math import log

from msgspec import Struct

MAX_TERMS = 4_000
"""Of one text, from its beginning."""

_WHOLE = re.compile(r"[^\s\"'`‘’“”«»,;()\[\]{}<>|]+")  # noqa: RUF001  # quotes of any kind
_PART = re.compile(r"[^\W_]+")
_EDGES = ".:!?*…"
_INSIDE = re.compile(r"[\d_./:\\#@$%=+-]")
_FEW_LETTERS = 2

_COMMON_WORDS = """
    a about after all also an and any are as at be because been before being but by can could did do does
    for from had has have he her his how i if in into is it its just like me more most my no not now of on
    only or other our out over she should so some than that the their them then there these they this those
    to too under up us use used using very was we were what when where which while who why will with would
    you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())


class Terms(Struct, frozen=True):
    """What a search looks for; `whole` are those of its words that name something, such as an error code."""

    all: tuple[str, ...]
    whole: frozenset[str]


def terms(text: str) -> Terms:
    """The words of a text, without those that every text has."""
    found: dict[str, None] = {}
    whole: set[str] = set()
    for match in _WHOLE.finditer(text):
        word = match.group().strip(_EDGES).lower()
        if len(found) >= MAX_TERMS:
            break
        parts = [part for part in _PART.findall(word) if part not in _COMMON]
        if len(word) >= _FEW_LETTERS and _INSIDE.search(word) and any(map(str.isalnum, word)):
            found[word] = None
            if not word.isdecimal():
                whole.add(word)
        found.update((_singular(part), None) for part in parts)
    return Terms(tuple(found), frozenset(whole))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def hashed(project: str, words: Iterable[str]) -> dict[int, str]:
    """Words as numbers that are a project's own, so that an index finds one project's texts alone."""
    return {
        int.from_bytes(
            blake2b(f"{project}\0{word}".encode(errors="replace"), digest_size=8).digest(),
            "big",
            signed=True,
        ): word
        for word in words
    }


def weights(words: Sequence[str], texts: int, having: Mapping[str, int]) -> dict[str, float]:
    """How much each word says, given how many of all texts have it."""
    counts = ((word, having.get(word, 0)) for word in words)
    return {word: log(1 + (max(texts - count, 0) + 0.5) / (count + 0.5)) for word, count in counts}
