"""One identity: who somebody is to the NATS server, by a public key. Pure."""

from datetime import datetime

from msgspec import Struct

from services.access.roles import EVERY, LOCAL_OPERATOR, SERVICE_PREFIX, Role


class Identity(Struct, frozen=True, kw_only=True):
    """`projects` are names, or `*` alone; a service has none, and acts for nobody. Times are UTC."""

    actor: str
    role: Role
    projects: tuple[str, ...]
    public_key: str
    created: datetime
    revoked_at: datetime | None = None

    @property
    def name(self) -> str:
        """What tells it from the others, and names the file of its seed."""
        if self.role == "service":
            return f"{SERVICE_PREFIX}{self.actor}"
        return LOCAL_OPERATOR if self.actor == EVERY else self.actor

    @property
    def active(self) -> bool:
        return self.revoked_at is None
