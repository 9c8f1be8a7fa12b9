"""The users of a NATS server, as its configuration has them: public keys and permissions. Pure."""

from collections.abc import Iterable

from msgspec import Struct

from services.access.identity import Identity
from services.access.permissions import Permissions, permissions_of


class User(Struct, omit_defaults=True):
    """Without permissions a user may do everything."""

    nkey: str
    permissions: Permissions | None = None


def users_of(identities: Iterable[Identity]) -> list[User]:
    """The users that these identities are to the server; the revoked ones are none."""
    return [User(each.public_key, permissions_of(each)) for each in identities if each.active]
