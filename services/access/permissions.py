"""What a NATS server lets each identity publish and subscribe. Pure.

The server judges a command by the subject it has mapped it to, a server without mapping by the subject as it
was sent; so both are allowed, and both name project, actor and verb. No agent may use JetStream's API: a
consumer can be made to deliver anywhere.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from services.access.identity import Identity
from services.access.roles import EVERY, SERVICE_PREFIX, verbs_of
from services.bus.wire import COMMAND_SUBJECTS, VIEW_SUBJECTS
from services.writer.shards import MAPPED_SUBJECTS, shard_of

REPORTS = "coordctl.report"
EVENTS = "coord.*.evt.>"
INBOXES = "_INBOX.>"
ALL_PROJECTS_VIEW = "coord.*.get.projects"
SEARCHES = "coordctl.recall.*"
ECHO = "bench-echo"
"""Stands where the writer stands, when `coordctl bench` measures how fast the transport alone is."""

DISCOVERY = "$SRV.>"
RESPONSE_EXPIRES = "10s"
SUMMARISER = f"{SERVICE_PREFIX}recall"
_STREAM = "COORD_EVENTS"


class Subjects(Struct, frozen=True, omit_defaults=True):
    """Patterns, in the server's own words."""

    allow: list[str] = field(default_factory=list)
    deny: list[str] = field(default_factory=list)


class Responses(Struct, frozen=True):
    """How many answers, and how soon, to a message that was received."""

    max: int = 1
    expires: str = RESPONSE_EXPIRES


class Permissions(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Of one user, as the server's configuration has it."""

    publish: Subjects
    subscribe: Subjects
    allow_responses: Responses | None = None


def permissions_of(identity: Identity) -> Permissions:
    """Everything that an identity may do; there is no more."""
    own = f"_INBOX.{identity.public_key}.>"
    if identity.role == "service":
        return _SERVICES[identity.actor](own)
    if identity.actor == EVERY:
        return _local_operator()
    return _agent(identity, own)


def _agent(identity: Identity, own: str) -> Permissions:
    everywhere = EVERY in identity.projects
    verbs = verbs_of(identity.role, all_projects=everywhere)
    allow = [
        subject
        for project in identity.projects
        for subject in (
            *(subject for verb in verbs for subject in _commands(project, identity.actor, verb)),
            f"coord.{project}.get.*",
        )
    ]
    listen = [f"coord.{project}.evt.>" for project in identity.projects]
    return Permissions(
        publish=Subjects([*allow, DISCOVERY], [] if everywhere else [ALL_PROJECTS_VIEW]),
        subscribe=Subjects([f"_INBOX.{identity.actor}.>", own, *listen]),
    )


def _commands(project: str, actor: str, verb: str) -> tuple[str, str]:
    """A command's subject as it is sent, and as a server maps it."""
    shard = EVERY if project == EVERY else str(shard_of(project))
    return f"coord.{project}.cmd.{actor}.{verb}", f"_coord.{project}.{shard}.{actor}.{verb}"


def _local_operator() -> Permissions:
    return Permissions(
        publish=Subjects([
            COMMAND_SUBJECTS, MAPPED_SUBJECTS, VIEW_SUBJECTS, REPORTS, DISCOVERY,
            "$JS.API.>", "$JS.ACK.>", "$JS.FC.>",
        ]),
        subscribe=Subjects([">"]),
    )  # fmt: skip


def _asked(service: str) -> list[str]:
    """Where every service is asked for its report, and for what it is.

    Every service may ask for reports too: that is how `serve --check` knows, with its key, that it works.
    """
    return [REPORTS, "$SRV.*", f"$SRV.*.coordctl-{service}", f"$SRV.*.coordctl-{service}.*"]


def _writer(own: str) -> Permissions:
    return Permissions(
        publish=Subjects([INBOXES, REPORTS]),
        subscribe=Subjects([COMMAND_SUBJECTS, MAPPED_SUBJECTS, *_asked("writer"), own]),
    )


def _relay(own: str) -> Permissions:
    asks = [f"$JS.API.STREAM.{what}.{_STREAM}" for what in ("INFO", "CREATE", "UPDATE", "MSG.GET")]
    return Permissions(
        publish=Subjects([EVENTS, REPORTS, "$JS.API.INFO", *asks, f"$JS.API.DIRECT.GET.{_STREAM}.>"]),
        subscribe=Subjects([*_asked("relay"), own]),
        allow_responses=Responses(),
    )


def _projector(own: str) -> Permissions:
    return Permissions(
        publish=Subjects([REPORTS]),
        subscribe=Subjects([*_asked("projector"), own]),
        allow_responses=Responses(),
    )


def _gateway(own: str) -> Permissions:
    """It acts for everybody who has a token, so it may send any command; and events come to it to be told.

    Of the stream it reads how far it is, for readiness.
    """
    asks = [f"$JS.API.STREAM.{what}.{_STREAM}" for what in ("INFO", "MSG.GET")]
    return Permissions(
        publish=Subjects(
            [
                COMMAND_SUBJECTS,
                MAPPED_SUBJECTS,
                VIEW_SUBJECTS,
                SEARCHES,
                REPORTS,
                INBOXES,
                *asks,
            ]
        ),
        subscribe=Subjects([VIEW_SUBJECTS, *_asked("gateway"), EVENTS, INBOXES, own]),
    )


def _recall(own: str) -> Permissions:
    """It answers what the gateways carry to it, and stores the summaries of notes in its own name."""
    commands = _commands(EVERY, SUMMARISER, "memory.store")
    return Permissions(
        publish=Subjects([INBOXES, REPORTS, *commands]),
        subscribe=Subjects([SEARCHES, *_asked("recall"), f"_INBOX.{SUMMARISER}.>", own]),
    )


def _echo(own: str) -> Permissions:
    """Both sides of a conversation on subjects that mean nothing to anybody else."""
    return Permissions(
        publish=Subjects([f"{ECHO}.>", INBOXES]), subscribe=Subjects([f"{ECHO}.>", INBOXES, own])
    )


_SERVICES: Mapping[str, Callable[[str], Permissions]] = {
    "writer": _writer,
    "relay": _relay,
    "projector": _projector,
    "gateway": _gateway,
    "recall": _recall,
    ECHO: _echo,
}
