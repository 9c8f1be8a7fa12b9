"""Real servers from their wheels: PostgreSQL and nats-server as our own child processes."""

from services.embedded.nats import EmbeddedNats
from services.embedded.postgres import EmbeddedPostgres

__all__ = ["EmbeddedNats", "EmbeddedPostgres"]
