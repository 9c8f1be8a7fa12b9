"""The paths of the search: by meaning, by words, by time. Each ranks by itself and says what it found.

A path reads the tables of recall alone; whether a record is still as asked is for the search to see.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from psycopg.sql import SQL, Composable, Composed, Literal

from domain.lineage import Segments
from services.projector.tables import Connection
from services.recall import tables
from services.recall.params import RecallParams
from services.recall.words import hashed, terms, weights

TEXT_LEAST = 0.4
"""The share of what was looked for from which on a text tells of it."""

MAX_RANKED_TEXTS = 5_000
MAX_SHARING_PROJECTS = 200
"""Memories that more projects share with one are found there by meaning alone."""

_SHARER = SQL("s.owner")
_SHARING = """
SELECT DISTINCT project FROM coord.recall_shares WHERE to_project IN (%s, %s) AND owner <> %s LIMIT %s
"""


class Candidate(Struct, frozen=True, kw_only=True):
    """A record that was found: whose it is here, and the sequence of the event that said it."""

    owner: str
    source: str
    entity: str
    sequence: int
    score: float
    exact: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        return self.owner, self.source, self.entity


class Meant(Struct, frozen=True):
    """A text as a model's vector, and the likeness from which on others mean the same."""

    model: str
    vector: str
    least: float


class Scope(Struct, frozen=True, kw_only=True):
    """What can be found: a project's events of these segments, and what others share, up to a position."""

    project: str
    segments: Segments
    position: int | None
    params: RecallParams
    meant: Meant | None


Candidates = Callable[[int], Sequence[Candidate]]
"""The best so many that a path finds."""


def by_meaning(
    connection: Connection, scope: Scope, model: tables.Model, meant: Meant, limit: int
) -> list[Candidate]:
    """The nearest, exactly, but for projects that have an approximate index."""
    near = SQL("v.vector <#> {}::halfvec").format(Literal(meant.vector))
    branches = [
        SQL("(SELECT {owner} AS owner, v.project, v.sequence, {near} AS far FROM {source} WHERE {where}"
            " ORDER BY {near}, v.sequence DESC LIMIT {limit})").format(
            owner=owner, near=near, source=SQL(source).format(model.table), where=where, limit=Literal(limit)
        )
        for owner, source, where in _branches(scope, "v", "{} v")
    ]  # fmt: skip
    if not branches:
        return []
    statement = SQL(
        "SELECT f.owner, t.source, t.entity, t.sequence, -f.far FROM ({}) f JOIN coord.recall_texts t"
        " USING (project, sequence) WHERE -f.far >= {} ORDER BY f.far, t.position DESC LIMIT {}"
    ).format(SQL(" UNION ALL ").join(branches), Literal(meant.least), Literal(limit))
    rows = connection.execute(statement)
    return [Candidate(owner=o, source=s, entity=e, sequence=n, score=score) for o, s, e, n, score in rows]


def latest(connection: Connection, scope: Scope, limit: int) -> list[Candidate]:
    branches = [
        SQL("(SELECT {} AS owner, t.source, t.entity, t.sequence, t.position FROM {} WHERE {}"
            " ORDER BY t.position DESC LIMIT {})").format(owner, SQL(source), where, Literal(limit))
        for owner, source, where in _branches(scope, "t", "coord.recall_texts t")
    ]  # fmt: skip
    if not branches:
        return []
    statement = SQL(
        "SELECT owner, source, entity, sequence FROM ({}) f ORDER BY position DESC LIMIT {}"
    ).format(SQL(" UNION ALL ").join(branches), Literal(limit))
    rows = connection.execute(statement)
    return [Candidate(owner=o, source=s, entity=e, sequence=n, score=1.0) for o, s, e, n in rows]


def by_text(connection: Connection, scope: Scope, text: str) -> list[Candidate]:
    """Texts that have any of the words, those first that have most of what was looked for."""
    asked = terms(text)
    if not asked.all:
        return []
    own = _hashed([segment.stream for segment in scope.segments], asked.all)
    theirs = _hashed(_sharing(connection, scope), asked.all)
    branches = [
        _having(theirs if owner is _SHARER else own, owner, source, where)
        for owner, source, where in _branches(scope, "t", "coord.recall_texts t", others=bool(theirs))
    ]
    if not branches:
        return []
    statement = SQL(
        "SELECT owner, source, entity, sequence, size, found FROM ({}) f ORDER BY position DESC"
    ).format(SQL(" UNION ALL ").join(branches))
    rows = connection.execute(statement).fetchall()
    if not rows:
        return []
    numbers = own | theirs
    matched = [{numbers[number] for number in found} for *_, found in rows]
    having = Counter(word for words_of in matched for word in words_of)
    says = weights(asked.all, _texts(connection, scope), having)
    wanted = sum(says.values())
    ranked = []
    for (owner, source, entity, sequence, size, _), words_of in zip(rows, matched, strict=True):
        exact = bool(words_of & asked.whole)
        score = sum(says[word] for word in words_of) / wanted
        if exact or score >= TEXT_LEAST:
            found = Candidate(
                owner=owner, source=source, entity=entity, sequence=sequence, score=score, exact=exact
            )
            ranked.append((-score, size, found))
    return [found for *_, found in sorted(ranked, key=lambda each: each[:2])]


def _having(words: Collection[int], owner: Composable, source: str, where: Composed) -> Composed:
    """The latest of a branch that have any of the words, with those that they have."""
    return SQL(
        "(SELECT owner, source, entity, sequence, position, cardinality(terms) AS size,"
        " ARRAY(SELECT unnest(terms) INTERSECT SELECT unnest({words})) AS found"
        " FROM (SELECT {owner} AS owner, t.source, t.entity, t.sequence, t.position, t.terms"
        " FROM {source} WHERE {where} AND t.terms && {words} ORDER BY t.position DESC LIMIT {limit}) f)"
    ).format(
        owner=owner, source=SQL(source), where=where, limit=Literal(MAX_RANKED_TEXTS),
        words=SQL("{}::bigint[]").format(Literal(list(words))),
    )  # fmt: skip


def _hashed(streams: Iterable[str], words: Sequence[str]) -> dict[int, str]:
    """The words as these streams have them."""
    return {number: word for stream in streams for number, word in hashed(stream, words).items()}


def _sharing(connection: Connection, scope: Scope) -> list[str]:
    """The streams that have what others share with the project."""
    asked = (scope.project, tables.ALL_PROJECTS, scope.project, MAX_SHARING_PROJECTS)
    return [name for (name,) in connection.execute(_SHARING, asked)]


def _texts(connection: Connection, scope: Scope) -> int:
    """How many texts the project has."""
    counts = SQL(" + ").join(
        SQL(
            "(SELECT count(*) FROM coord.recall_texts WHERE project = {} AND sequence BETWEEN {} AND {})"
        ).format(Literal(each.stream), Literal(each.first), Literal(each.last))
        for each in scope.segments
    )
    found = connection.execute(SQL("SELECT {}").format(counts)).fetchone() if scope.segments else None
    return int(found[0]) if found else 0


def _branches(
    scope: Scope, name: str, source: str, *, others: bool = True
) -> Iterator[tuple[Composable, Any, Composed]]:
    """Where to look: each segment of the project's history, and what other projects share with it.

    Gives whose the records are, the relation, and the condition; nothing of a project before its first event.
    """
    joined, conditions = _conditions(scope, name)
    for segment in scope.segments:
        where = SQL("{n}.project = {} AND {n}.sequence BETWEEN {} AND {}").format(
            Literal(segment.stream), Literal(segment.first), Literal(segment.last), n=SQL(name)
        )
        yield Literal(scope.project), source + joined, SQL(" AND ").join([where, *conditions])
    if not others or "memory" not in (scope.params.source or ("memory",)):
        return
    shared = SQL("s.to_project IN ({}, {}) AND s.owner <> {}").format(
        Literal(scope.project), Literal(tables.ALL_PROJECTS), Literal(scope.project)
    )
    if scope.position is not None:
        shared += SQL(" AND s.position <= {}").format(Literal(scope.position))
    for segment in scope.segments:  # a fork has of its own what its origin shares
        shared += SQL(" AND NOT (s.project = {} AND s.sequence BETWEEN {} AND {})").format(
            Literal(segment.stream), Literal(segment.first), Literal(segment.last)
        )
    relation = f"{source} JOIN coord.recall_shares s USING (project, sequence){joined}"
    yield _SHARER, relation, SQL(" AND ").join([shared, *conditions])


def _conditions(scope: Scope, name: str) -> tuple[str, list[Composable]]:
    """What the parameters ask of a record; the texts are joined only if that is in them alone."""
    params, conditions = scope.params, list[Composable]()
    if params.source:
        conditions.append(SQL("{}.source = ANY({})").format(SQL(name), Literal(list(params.source))))
    own = [
        (params.kind, SQL("k.kind = ANY({})"), list(params.kind)),
        (params.tag, SQL("k.tags && {}::text[]"), list(params.tag)),
        (params.agent, SQL("k.agent = {}"), params.agent),
        (params.since, SQL("k.at >= {}"), params.since),
        (params.until, SQL("k.at < {}"), params.until),
    ]
    asked = [test.format(Literal(value)) for given, test, value in own if given]
    if not asked:
        return "", conditions
    return " JOIN coord.recall_texts k USING (project, sequence)", [*conditions, *asked]
