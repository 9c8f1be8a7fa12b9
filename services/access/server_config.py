"""The configuration of an operator's own nats-server: users, permissions, mapping, JetStream.

Public keys only, no secret. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.access.identity import Identity
from services.access.users import users_of
from services.writer.shards import MAPPINGS

MAX_PAYLOAD_BYTES = 1024 * 1024
LISTEN = "0.0.0.0:4222"
MONITOR = "127.0.0.1:8222"
STORE = "/data/jetstream"
CERTIFICATE, KEY = "/etc/nats/tls/server.crt", "/etc/nats/tls/server.key"


def server_config(identities: Iterable[Identity], *, tls: bool) -> dict[str, Any]:
    """What the server reads, as JSON. The paths are those of the container; change them to yours."""
    config: dict[str, Any] = {
        "server_name": "coordctl",
        "listen": LISTEN,
        "http": MONITOR,
        "max_payload": MAX_PAYLOAD_BYTES,
        "write_deadline": "10s",
        "jetstream": {"store_dir": STORE},
        "feature_flags": {"js_ack_fc_v2": False},
        "mappings": dict(MAPPINGS),
        "authorization": {"users": msgspec.to_builtins(users_of(identities))},
    }
    return config | ({"tls": _TLS} if tls else {})


_TLS: Mapping[str, Any] = {"cert_file": CERTIFICATE, "key_file": KEY, "timeout": 5, "min_version": "1.3"}
