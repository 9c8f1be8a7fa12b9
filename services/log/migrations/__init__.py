"""The schema of the log's own tables, as numbered steps, and what brings a database up to the last of them.

Only what cannot be made again from the log is here. The read models, how far they have come, checkpoints and
layers are derived: the projector makes their tables, and makes them anew when they are of another shape.

A function or an index that changes is a new migration that says CREATE OR REPLACE, or drops and creates it.
"""

from services.log.migrations.m0001_log import LOG
from services.log.migrations.migration import Migration
from services.log.migrations.runner import Applied, DataNewer, applied, migrate, missing, refuse_newer

__all__ = [
    "MIGRATIONS",
    "Applied",
    "DataNewer",
    "Migration",
    "applied",
    "migrate",
    "missing",
    "refuse_newer",
]

MIGRATIONS: tuple[Migration, ...] = (LOG,)
