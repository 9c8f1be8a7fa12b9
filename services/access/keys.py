"""Keys of identities: made here, and read from the files in which their seeds are kept.

A seed is an Ed25519 private key as NATS writes it (an nkey). It goes into a file of mode 600 and into the
client that signs with it: into no error, no log and no URL. Touches the files it is given.
"""

import base64
import secrets
from pathlib import Path

import nkeys  # type: ignore[import-untyped]  # it ships no types

from domain.errors import CoordError

SEED_BYTES = 32
MAX_FILE_BYTES = 4_096


class BadCredentials(CoordError):
    code = "bad_credentials"
    says = (
        "{path} holds no key of a user ({why}). Use the file that `coordctl access enroll` wrote, or enroll"
        " anew: COORD_CREDENTIALS names it."
    )


def new_seed() -> str:
    return str(nkeys.encode_seed(secrets.token_bytes(SEED_BYTES), nkeys.PREFIX_BYTE_USER).decode())


def public_key(seed: str) -> str:
    """Raises ValueError, which does not tell the seed, if it is none of a user."""
    try:
        raw = seed.encode("ascii")
        prefix, _ = nkeys.decode_seed(bytearray(raw))
        encoded = nkeys.encode_seed(_private(raw), nkeys.PREFIX_BYTE_USER)
        if prefix != nkeys.PREFIX_BYTE_USER or encoded != raw:
            raise ValueError("it is damaged, or the key of something else")
        return str(nkeys.from_seed(bytearray(raw)).public_key.decode())
    except (nkeys.NkeysError, UnicodeEncodeError, IndexError) as error:
        raise ValueError("it is no seed") from error


def sign(seed: str, nonce: str) -> str:
    """What a server that has sent this nonce wants to see: the signature in base64."""
    return base64.b64encode(nkeys.from_seed(bytearray(seed.encode())).sign(nonce.encode())).decode()


def read_seed(path: Path) -> str:
    """The seed in a file. Raises BadCredentials."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadCredentials(path=str(path), why=error.strerror or type(error).__name__) from error
    if len(content) > MAX_FILE_BYTES:
        raise BadCredentials(path=str(path), why=f"it has more than {MAX_FILE_BYTES} bytes")
    try:
        seed = content.decode("ascii").strip()
        public_key(seed)
    except ValueError:
        raise BadCredentials(path=str(path), why="it is empty, cut off or damaged") from None
    return seed


def _private(raw: bytes) -> bytes:
    """The key itself, without prefix and checksum."""
    _, private = nkeys.decode_seed(bytearray(raw))
    return bytes(private[:SEED_BYTES])
