"""Projects with so many texts that comparing all takes too long: each gets an approximate index of its own.

An index of one project alone has no rows to leave out, which is what makes an index of all projects miss what
it should find. It is built beside the indexing, on a connection of its own.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

from psycopg.sql import SQL, Identifier, Literal

from services.projector.tables import connected
from services.recall import tables

LOOK_EVERY_S = 60.0

_COUNT = "SELECT project FROM {} GROUP BY project HAVING count(*) >= %s"
_THERE = """
SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'coord' AND c.relname = %s
"""
_CREATE = """
CREATE INDEX CONCURRENTLY {} ON {} USING hnsw (vector halfvec_ip_ops) WHERE project = {}
"""

logger = logging.getLogger(__name__)


class LargeProjects:
    """Looks now and then whether a project has become large. Close it in the end."""

    def __init__(self, url: str, least_rows: int) -> None:
        self._url = url
        self._least_rows = least_rows
        self._thread = ThreadPoolExecutor(1, "recall-index")
        self._under_way: Future[None] | None = None
        self._look_at_s = monotonic() + LOOK_EVERY_S

    def look(self, model: str) -> None:
        """Have missing indexes built, if it is time to look; does not wait. Raises what the last look did."""
        if self._under_way is not None and self._under_way.done():
            under_way, self._under_way = self._under_way, None
            under_way.result()
        if self._under_way is None and monotonic() >= self._look_at_s:
            self._look_at_s = monotonic() + LOOK_EVERY_S
            self._under_way = self._thread.submit(self.catch_up, model)

    def catch_up(self, model: str) -> None:
        """Build the indexes that are missing."""
        with connected(self._url) as connection:
            found = tables.model_of(connection, model)
            if found is None or found.dimensions > tables.MAX_IN_ROW_DIMENSIONS:
                return
            large = connection.execute(SQL(_COUNT).format(found.table), (self._least_rows,)).fetchall()
            for (project,) in large:
                name = tables.index_name(found, project)
                there = connection.execute(_THERE, (name,)).fetchone()
                if there == (True,):
                    continue
                if there is not None:  # left by a process that ended while it was built
                    connection.execute(SQL("DROP INDEX {}").format(Identifier(tables.SCHEMA, name)))
                logger.info("building the index of project %s", project)
                connection.execute(SQL(_CREATE).format(Identifier(name), found.table, Literal(project)))

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)
