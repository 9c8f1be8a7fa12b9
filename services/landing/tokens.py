"""How many tokens a text is for a model: reckoned without one, and rather too many than too few. Pure."""

import re
from math import ceil

MIN_TOKENS = 400
USUAL_TOKENS = 2_000

LETTERS_PER_TOKEN = 4
DIGITS_PER_TOKEN = 3
CODE_PER_TOKEN = 1.25
"""Characters of what is no word: letters among digits, as in ids, and capitals in a row."""

BYTES_PER_TOKEN = 1.5
"""Of what is not ASCII."""

_PIECE = re.compile(
    r"(?P<digits>[0-9]+(?![A-Za-z0-9]))"
    r"|(?P<code>[A-Za-z]*[0-9][A-Za-z0-9]*|[A-Z]{2,})"
    r"|(?P<letters>[A-Za-z][a-z]*)"
    r"|(?P<bytes>[^\x00-\x7f]+)"
    r"|[^\S ]|\S"
)
_CHARS_PER_TOKEN = {
    "digits": DIGITS_PER_TOKEN,
    "code": CODE_PER_TOKEN,
    "letters": LETTERS_PER_TOKEN,
    "bytes": BYTES_PER_TOKEN,
}


def tokens(text: str) -> int:
    """At least as many as the usual vocabularies make of it; a space goes with the word that follows."""
    found = 0
    for piece in _PIECE.finditer(text):
        size = len(piece[0].encode()) if piece.lastgroup == "bytes" else len(piece[0])
        found += ceil(size / _CHARS_PER_TOKEN.get(piece.lastgroup or "", 1))
    return found
