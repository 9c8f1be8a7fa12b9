"""Hostile values for the fuzzer: what JSON, Unicode and arithmetic have to offer against a parser. Pure.

Everything is drawn from a `Random` that the caller seeds, so that a run can be repeated.
"""

from random import Random
from typing import Any

import msgspec

MAX_RANDOM_BYTES = 300
MAX_CHARS = 40
MAX_DEPTH_LEVELS = 5_000

NUMBERS = (
    b"1e999", b"-1e999", b"1" + b"0" * 400, b"-1" + b"0" * 400, b"-0", b"-0.0", b"NaN", b"-Infinity",
    b"18446744073709551616", b"-9223372036854775809", b"1e-400", b"0x10", b"00012", b"1.", b".5", b"1e",
    b"1_000", b"9" * 5_000, b"0." + b"9" * 5_000, b"+1", b"1e+", b"--1", b"2e308",
)  # fmt: skip

WRONG = (
    b"true", b"false", b"7.5", b"-1", b'"x y"', b'""', b"[]", b"{}", b"[[]]", b'[{"a":null}]', b'{"a":{}}',
    b'"\\u0000"', b'"\\ud800"', b'"2026-13-45T99:99:99Z"', b'"9999-12-31T23:59:59+23:59"',
    b'"0001-01-01T00:00:00-12:00"', *NUMBERS,
)  # fmt: skip
"""JSON, or nearly, that hardly any field takes."""

BLOCKS = (
    (0x0000, 0x001F), (0x007F, 0x009F), (0x00A0, 0x024F), (0x0300, 0x036F), (0x0370, 0x058F),
    (0x0590, 0x08FF), (0x0900, 0x0DFF), (0x0E00, 0x11FF), (0x1200, 0x1FFF), (0x2000, 0x200F),
    (0x2028, 0x202E), (0x2060, 0x206F), (0x2100, 0x2BFF), (0x2E80, 0x9FFF), (0xA000, 0xABFF),
    (0xAC00, 0xD7AF), (0xE000, 0xF8FF), (0xF900, 0xFAFF), (0xFB1D, 0xFDFF), (0xFE00, 0xFE0F),
    (0xFE70, 0xFEFF), (0xFFF0, 0xFFFF), (0x10000, 0x1D7FF), (0x1F000, 0x1FAFF), (0x20000, 0x3134F),
    (0xE0000, 0xE01EF), (0xF0000, 0x10FFFF),
)  # fmt: skip
"""Ranges of Unicode, from control characters over right-to-left scripts to the last private plane."""

MALFORMED = (
    b"\xff", b"\xfe\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\x80", b"\xe2\x28\xa1",
    b"\xf4\x90\x80\x80",
)  # fmt: skip
"""Bytes that are no UTF-8: overlong forms, surrogates, lone continuations, beyond the last plane."""

ESCAPES = ("\\u0000", "\\ud800", "\\udfff", "\\ud800\\ud800", "\\udc00\\ud800", "\\u12", "\\x00", "\\")


def octets(random: Random) -> bytes:
    return random.randbytes(random.randint(1, MAX_RANDOM_BYTES))


def text(random: Random) -> str:
    """Characters of one block or of several; never a lone surrogate, which no UTF-8 can carry."""
    low, high = random.choice(BLOCKS)
    return "".join(chr(random.randint(low, high)) for _ in range(random.randint(1, MAX_CHARS)))


def odd_string(random: Random) -> bytes:
    """A JSON string with something in it that is no text, or no name."""
    match random.randrange(4):
        case 0:
            return b'"' + random.choice(MALFORMED) * random.randint(1, 3) + b'"'
        case 1:
            return b'"a' + random.choice(ESCAPES).encode() + b'"'
        case 2:
            return msgspec.json.encode(text(random))
        case _:
            return msgspec.json.encode("x" * random.choice((129, 501, 2_000, 20_000)))


def nested(random: Random) -> bytes:
    """Deep, and closed or not."""
    depth = random.choice((70, 200, 1_000, MAX_DEPTH_LEVELS))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"b":', b"}]")))
    return opening * depth + (random.choice((b"1", b"null", b"")) + closing * depth) * random.randint(0, 1)


def with_value(body: dict[str, Any], path: tuple[str | int, ...], raw: bytes) -> bytes:
    """The body as JSON, with these bytes in place of the value at the path."""
    mark = "@here@"
    copy = msgspec.json.decode(msgspec.json.encode(body))
    place = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = mark
    return msgspec.json.encode(copy).replace(b'"' + mark.encode() + b'"', raw)


def paths(value: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where each value stands in a body, down to the innermost."""
    steps: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        steps = list(value.items())
    elif isinstance(value, list):
        steps = list(enumerate(value))
    found: list[tuple[str | int, ...]] = []
    for step, inner in steps:
        found += [(*above, step), *paths(inner, (*above, step))]
    return found
