"""The tables of recall: texts with their words, vectors by model, who may find what of other projects.

All of it is derived: whatever is lost here is made again from the log. A text stands at its event's place,
so that what a project knows at any point, forked and restored projects included, is a range of sequences.
"""

import re
from collections.abc import Sequence
from hashlib import blake2b

from msgspec import Struct
from psycopg.rows import class_row
from psycopg.sql import SQL, Identifier

from services.projector.tables import Connection

SCHEMA = "coord"
RECALLED = "coord_recalled"
"""The channel that is notified when more can be found."""

ALL_PROJECTS = "*"
TEXTS = "texts"
SUMMARIES = "summaries"

HNSW_ROWS = 30_000
"""From so many texts of one project on it has an approximate index of its own; below, all are compared."""

MAX_IN_ROW_DIMENSIONS = 3_500
"""A row with a longer vector does not fit a page, and an approximate index takes 4,000 at most."""

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('coord.recall'))"
_TABLES = (
    "CREATE SCHEMA IF NOT EXISTS coord",
    """
    CREATE TABLE IF NOT EXISTS coord.recall_texts (
        project text COLLATE "C" NOT NULL,
        sequence bigint NOT NULL,
        position bigint NOT NULL UNIQUE,
        source text COLLATE "C" NOT NULL,
        entity text COLLATE "C" NOT NULL,
        kind text COLLATE "C" NOT NULL,
        tags text[] NOT NULL,
        agent text COLLATE "C" NOT NULL,
        at timestamptz NOT NULL,
        text text NOT NULL,
        terms bigint[] NOT NULL,
        PRIMARY KEY (project, sequence)
    )
    """,
    "CREATE INDEX IF NOT EXISTS recall_texts_entity ON coord.recall_texts (entity)",
    "CREATE INDEX IF NOT EXISTS recall_texts_terms ON coord.recall_texts USING gin (terms)",
    """
    CREATE TABLE IF NOT EXISTS coord.recall_shares (
        to_project text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        sequence bigint NOT NULL,
        owner text COLLATE "C" NOT NULL,
        position bigint NOT NULL,
        PRIMARY KEY (to_project, project, sequence, owner)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS coord.recall_progress (
        name text PRIMARY KEY, position bigint NOT NULL, code text NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS coord.recall_models (
        model text PRIMARY KEY, table_name text NOT NULL, dimensions int NOT NULL, position bigint NOT NULL
    )
    """,
)


class Model(Struct, frozen=True, kw_only=True):
    """A model whose vectors there are, of all texts up to a position."""

    model: str
    table_name: str
    dimensions: int
    position: int

    @property
    def table(self) -> Identifier:
        return Identifier(SCHEMA, self.table_name)


def create(connection: Connection) -> None:
    """Create the tables of the texts; many may do it at once."""
    with connection.transaction():
        connection.execute(_LOCK)
        for statement in _TABLES:
            connection.execute(statement)


def progress(connection: Connection, name: str, code: str, *, lock: bool = False) -> int | None:
    """How far texts or summaries are; None if they were made by other code, or never begun."""
    statement = SQL("SELECT position, code FROM coord.recall_progress WHERE name = %s {}")
    lockable = statement.format(SQL("FOR UPDATE" if lock else ""))
    found = connection.execute(lockable, (name,)).fetchone()
    return found[0] if found and found[1] == code else None


def advance(connection: Connection, name: str, code: str, position: int) -> None:
    connection.execute(
        "INSERT INTO coord.recall_progress (name, position, code) VALUES (%s, %s, %s)"
        " ON CONFLICT (name) DO UPDATE SET position = excluded.position, code = excluded.code",
        (name, position, code),
    )
    notify(connection)


def notify(connection: Connection) -> None:
    connection.execute(SQL("NOTIFY {}").format(Identifier(RECALLED)))


def models(connection: Connection) -> list[Model]:
    with connection.cursor(row_factory=class_row(Model)) as cursor:
        return cursor.execute(
            "SELECT model, table_name, dimensions, position FROM coord.recall_models ORDER BY model"
        ).fetchall()


def model_of(connection: Connection, name: str) -> Model | None:
    return next((each for each in models(connection) if each.model == name), None)


def create_vectors(connection: Connection, name: str, dimensions: int) -> Model:
    """The table of a model's vectors, which may be there already. Needs the extension `vector`."""
    table_name = _table_name(name)
    with connection.transaction():
        connection.execute(_LOCK)
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        known = model_of(connection, name)
        if known is not None and known.dimensions == dimensions:
            return known
        if known is not None:
            drop_vectors(connection, known)
        connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(SCHEMA, table_name)))
        connection.execute(
            SQL(
                'CREATE TABLE {} (project text COLLATE "C" NOT NULL, sequence bigint NOT NULL,'
                ' source text COLLATE "C" NOT NULL, vector halfvec({}) NOT NULL,'
                " PRIMARY KEY (project, sequence))"
            ).format(Identifier(SCHEMA, table_name), SQL(str(int(dimensions))))
        )
        if dimensions <= MAX_IN_ROW_DIMENSIONS:
            connection.execute(
                SQL("ALTER TABLE {} ALTER vector SET STORAGE PLAIN").format(Identifier(SCHEMA, table_name))
            )  # in the row: to fetch it from elsewhere takes longer than to compare it
        connection.execute(
            "INSERT INTO coord.recall_models (model, table_name, dimensions, position)"
            " VALUES (%s, %s, %s, 0)",
            (name, table_name, dimensions),
        )
    return Model(model=name, table_name=table_name, dimensions=dimensions, position=0)


def drop_vectors(connection: Connection, model: Model) -> None:
    """Take a model's vectors away."""
    with connection.transaction():
        connection.execute("DELETE FROM coord.recall_models WHERE model = %s", (model.model,))
        connection.execute(SQL("DROP TABLE IF EXISTS {}").format(model.table))


def clear_texts(connection: Connection) -> None:
    """Take all texts and vectors away, to be made anew from the log."""
    with connection.transaction():
        for model in models(connection):
            drop_vectors(connection, model)
        connection.execute("TRUNCATE coord.recall_texts, coord.recall_shares")
        connection.execute("DELETE FROM coord.recall_progress WHERE name = %s", (TEXTS,))


def literal(vector: Sequence[float]) -> str:
    """A vector as Postgres reads it."""
    return f"[{','.join(map('%.5g'.__mod__, vector))}]"


def index_name(model: Model, project: str) -> str:
    """What a project's own approximate index is called."""
    return f"{model.table_name[:40]}_{blake2b(project.encode(), digest_size=6).hexdigest()}"


def _table_name(model: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")[:24]
    return f"recall_{words}_{blake2b(model.encode(), digest_size=4).hexdigest()}"
