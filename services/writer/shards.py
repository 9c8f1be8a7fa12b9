"""Shards: every project belongs to one of sixteen, and each shard is decided by one writer at a time.

A nats-server can be told to send each command to its shard's subject, so that only the owner hears of it; see
`MAPPINGS`. The subject then has the same tokens at the same places, with the shard for the `cmd`. Pure.
"""

from domain.errors import CoordError
from services.bus.wire import COMMAND_SUBJECTS

SHARDS = 16
"""Fixed for ever: it stands in the mapping of subjects, and two writers must never count differently."""

KIND = "coord.shards"

MAPPINGS = {
    COMMAND_SUBJECTS: "_coord.{{wildcard(1)}}."
    f"{{{{partition({SHARDS},1)}}}}"
    ".{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}"
}
"""For the `mappings` of a nats-server. The permission to publish is judged by the subject afterwards."""

MAPPED_SUBJECTS = "_coord.*.*.*.*.*"
"""Where all commands arrive that a server has mapped."""

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193


class WrongShard(CoordError):
    code = "wrong_shard"
    says = "{subject} is not where this project's commands go; use coord.<project>.cmd.<actor>.<verb>."


def shard_of(project: str) -> int:
    """The shard of a project, as nats-server's mapping function `partition(16, …)` reckons it (FNV-1a)."""
    digest = _FNV_OFFSET
    for byte in project.encode():
        digest = (digest ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return digest % SHARDS


def mapped_subject(subject: str) -> str:
    """What a server makes of this subject that maps commands to shards; others stay as they are."""
    tokens = subject.split(".")
    if len(tokens) != len(COMMAND_SUBJECTS.split(".")) or (tokens[0], tokens[2]) != ("coord", "cmd"):
        return subject
    _, project, _, actor, context, verb = tokens
    return f"_coord.{project}.{shard_of(project)}.{actor}.{context}.{verb}"


def check_shard(subject: str) -> None:
    """Refuse a command that was sent, past the server's mapping, to a shard that is not its project's.

    Raises WrongShard.
    """
    root, project, shard, *_ = subject.split(".")
    if root == "_coord" and shard != str(shard_of(project)):
        raise WrongShard(subject=subject)


def shard_subjects(shard: int) -> str:
    """Where the commands of a shard arrive that a server has mapped."""
    return f"_coord.*.{shard}.*.*.*"
