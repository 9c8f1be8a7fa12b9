"""How many tokens a text is for a model: reckoned without one, and rather too many than too few. Pure."""

import re
from math import ceil

MIN_TOKENS = 400
USUAL_TOKENS = 2_000

LETTERS_PER_TOKEN = 4
DIGITS_PER_TOKEN = 3
BYTES_PER_TOKEN = 1.5
"""Of what is not ASCII."""

_PIECE = re.compile(r"([A-Za-z]+)|([0-9]+)|([^\x00-\x7f]+)|[^\S ]|[^\s]")


def tokens(text: str) -> int:
    """At least as many as the usual vocabularies make of it; a space goes with the word that follows."""
    found = 0
    for piece in _PIECE.finditer(text):
        letters, digits, others = piece.groups()
        if letters:
            found += ceil(len(letters) / LETTERS_PER_TOKEN)
        elif digits:
            found += ceil(len(digits) / DIGITS_PER_TOKEN)
        elif others:
            found += ceil(len(others.encode()) / BYTES_PER_TOKEN)
        else:
            found += 1
    return found
