"""Postgres in figures, translated from what it keeps of itself (`pg_stat_*`). Reads, and changes nothing.

Whoever asks needs no more rights than the services have. Without `pg_read_all_stats` Postgres tells of other
accounts' sessions only that they are there, and nothing of replicas.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from services.monitoring.asking import asking, rows
from services.projector.tables import Connection

MAX_REPLICAS = 10

_DATABASE = """
SELECT xact_commit, xact_rollback, blks_hit, blks_read, deadlocks, temp_bytes,
    pg_database_size(datid) AS size, extract(epoch FROM pg_postmaster_start_time())::float8 AS started
FROM pg_stat_database WHERE datname = current_database()
"""
_SESSIONS = """
SELECT coalesce(state, 'unknown') AS state, count(*) AS count
FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1
"""
_LIMIT = "SELECT current_setting('max_connections')::int AS most"
_OLDEST = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 AS seconds
FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""
_LOCKS = "SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted AND locktype <> 'advisory'"
_TABLES = """
SELECT CASE WHEN c.relname = 'events' THEN 'log' ELSE 'read_models' END AS of,
    sum(pg_total_relation_size(c.oid)) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'coord' AND c.relkind = 'r' GROUP BY 1
"""
_WAL = "SELECT wal_bytes FROM pg_stat_wal"
_REPLICAS = f"""
SELECT coalesce(nullif(application_name, ''), 'unnamed') AS replica,
    max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) AS bytes, count(*) AS count
FROM pg_stat_replication WHERE replay_lsn IS NOT NULL AND NOT pg_is_in_recovery()
GROUP BY 1 ORDER BY 1 LIMIT {MAX_REPLICAS}
"""


def look(database_url: str) -> list[Metric]:
    """All figures now. Raises what psycopg raises."""
    with asking(database_url) as connection:
        (database,) = rows(connection, _DATABASE)
        return [
            *_database(database),
            *_wal(connection),
            *_sessions(connection),
            *_sizes(connection, database["size"]),
            *_replication(connection),
        ]


def _database(found: dict[str, Any]) -> Iterator[Metric]:
    outcomes = (("committed", found["xact_commit"]), ("rolled_back", found["xact_rollback"]))
    yield _counter("transactions", "Transactions ended, by how.", "outcome", outcomes)
    places = (("memory", found["blks_hit"]), ("disk", found["blks_read"]))
    yield _counter("blocks", "Blocks looked for, by where they were found.", "found_in", places)
    yield _counter("deadlocks", "Deadlocks.", value=found["deadlocks"])
    about = "What was put on the disk because it did not fit into memory."
    yield _counter("temporary_bytes", about, value=found["temp_bytes"])
    yield _gauge("start_time_seconds", "When Postgres was started, since 1970.", value=found["started"])


def _wal(connection: Connection) -> Iterator[Metric]:
    (wal,) = rows(connection, _WAL)
    yield _counter("wal_bytes", "Write-ahead log written.", value=wal["wal_bytes"])


def _sessions(connection: Connection) -> Iterator[Metric]:
    states = [(row["state"].replace(" ", "_"), row["count"]) for row in rows(connection, _SESSIONS)]
    yield _gauge("connections", "Connections of clients, by state.", "state", states)
    (limit,) = rows(connection, _LIMIT)
    yield _gauge("connections_limit", "Connections there may be.", value=limit["most"])
    (oldest,) = rows(connection, _OLDEST)
    about = "How long the longest transaction has been open."
    yield _gauge("longest_transaction_seconds", about, value=oldest["seconds"])
    (locks,) = rows(connection, _LOCKS)
    yield _gauge("lock_waits", "Locks that are waited for.", value=locks["waiting"])


def _sizes(connection: Connection, database_bytes: int) -> Iterator[Metric]:
    sizes = [(row["of"], row["bytes"]) for row in rows(connection, _TABLES)]
    about = "Size on disk: of the whole database, and in it of the log and of the read models."
    yield _gauge("size_bytes", about, "of", [("database", database_bytes), *sizes])


def _replication(connection: Connection) -> Iterator[Metric]:
    named = rows(connection, _REPLICAS)
    found = [(row["replica"], row["bytes"]) for row in named]
    yield _gauge("replicas", "Replicas that are connected.", value=sum(row["count"] for row in named))
    if found:
        about = "How much of the write-ahead log a replica has not replayed yet."
        yield _gauge("replica_lag_bytes", about, "replica", found)


def _gauge(
    name: str, about: str, label: str = "", values: Sequence[tuple[str, Any]] = (), *, value: Any = None
) -> Metric:
    family = GaugeMetricFamily(f"coordctl_postgres_{name}", about, labels=[label] if label else [])
    return _filled(family, values if label else [("", value)], labelled=bool(label))


def _counter(
    name: str, about: str, label: str = "", values: Sequence[tuple[str, Any]] = (), *, value: Any = None
) -> Metric:
    family = CounterMetricFamily(f"coordctl_postgres_{name}", about, labels=[label] if label else [])
    return _filled(family, values if label else [("", value)], labelled=bool(label))


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Sequence[tuple[str, Any]], *, labelled: bool
) -> Metric:
    for name, value in values:
        family.add_metric([name] if labelled else [], float(value or 0))
    return family
