"""The ranks file: the counts of one retriever on one task, enough to recompute every published number.

A *column* is a set of document languages. An encoder's columns are single languages, whose counts add up to those of
any pool; a ranker's are the pools it was asked for, and no other can be answered.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import InvalidResult, UserError
from mlbench.languages import Setting
from mlbench.leaving import is_left_out
from mlbench.measures import UNRETRIEVED, RelevantRanks, relevant_ranks
from mlbench.npz import read_arrays
from mlbench.records import LARGEST_GRADE

UNKNOWN = -1
"""In `ahead`: not counted, because the relevant document is in none of the column's languages, or nobody asked."""
MISSING = -2
"""In `ahead`: judged relevant, and missing from the corpus."""
UNLISTED = -3
"""In `ahead`: in the corpus, and not in the ranker's list."""

_LARGEST = 2**31
_MOST_LANGUAGES, _MOST_COLUMNS = 1000, 10_000

Strings = NDArray[np.str_]
Integers = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Ranks:
    """Queries, their relevant documents and how many documents stand before each.

    One *row* is a (query, relevant document); rows are sorted by query. All integers are int32. `columns` (columns,)
    are language tags joined by `+`; `column_sizes` (columns,) their numbers of documents. `topic_clusters` (topics,)
    are indexes of the units of resampling. `query_topics`, `query_languages` (queries,), `document_languages`
    (documents,), `row_queries`, `row_documents` (rows,) are indexes; `document_ids` names only documents that a row
    or `top` mentions. `ahead` and `ties` are (rows, columns); `top` is (queries, depth), indexes of the best documents
    of all languages together, -1 where there are fewer. `listed` (queries, columns) is how many documents each list
    held: all of the column's, unless a ranker stopped before; -1 where nobody asked.
    """

    languages: Strings
    columns: Strings
    column_sizes: Integers
    topic_ids: Strings
    topic_clusters: Integers
    cluster_unit: Strings
    query_topics: Integers
    query_languages: Integers
    document_ids: Strings
    document_languages: Integers
    row_queries: Integers
    row_documents: Integers
    row_grades: Integers
    ahead: Integers
    ties: Integers
    top: Integers
    listed: Integers

    @property
    def row_languages(self) -> Integers:
        """The language index of each row's document; int32 (rows,)."""
        return self.document_languages[self.row_documents]

    @property
    def queries_are_documents(self) -> bool:
        """Whether each query left its own pool: where it has been judged, it is for its translations alone."""
        return is_left_out(self.query_topics, self.query_languages, self.row_queries, self.row_languages)

    def column_of(self, languages: Iterable[str]) -> int | None:
        """Return the index of the column that holds exactly these languages, or None."""
        name = "+".join(sorted(set(languages)))
        found = np.flatnonzero(self.columns == name)
        return int(found[0]) if len(found) else None

    def language_index(self, language: str) -> int:
        """Return the index of `language`; raises `UserError` when the result does not have it."""
        found = np.flatnonzero(self.languages == language)
        if not len(found):
            raise UserError(f"the result has no language {language!r}: it has {', '.join(self.languages)}")
        return int(found[0])


@dataclass(frozen=True, eq=False)
class SettingRanks:
    """One setting's share of the counts.

    `queries` int64 (n,) are indexes of the queries that have a relevant document in the setting; `relevant` holds
    their ranks, one row each; `tied` is the share of relevant documents that tie with another document of the pool,
    NaN without relevant documents, `unretrieved` the share that a ranker's list does not hold; `pool_size` counts the
    documents.
    """

    queries: NDArray[np.int64]
    relevant: RelevantRanks
    tied: float
    unretrieved: float
    pool_size: int


def can_answer(ranks: Ranks, document_languages: Iterable[str]) -> bool:
    """Say whether the counts of this pool are stored or follow from the stored ones."""
    return bool(_columns_of(ranks, document_languages))


@dataclass(frozen=True, eq=False)
class PoolCounts:
    """The counts of one pool: each row's rank (int64, `UNRETRIEVED` possible), its ties (int64), and the pool's size.

    `unknown` marks rows that nobody asked about, `unlisted` those that are in the corpus and not in a ranker's list;
    `listed` (queries,) is how long each list is, -1 where nobody asked. Rows whose document is outside the pool have a
    meaningless rank.
    """

    rank: NDArray[np.int64]
    ties: NDArray[np.int64]
    unknown: NDArray[np.bool_]
    unlisted: NDArray[np.bool_]
    listed: NDArray[np.int64]
    size: int


def pool_counts(ranks: Ranks, document_languages: Iterable[str]) -> PoolCounts:
    """Return the counts of a pool; raises `UserError` for one that the stored counts cannot answer."""
    wanted = tuple(sorted(set(document_languages)))
    for language in wanted:
        ranks.language_index(language)
    columns = _columns_of(ranks, wanted)
    if not columns:
        raise UserError(f"the pool {','.join(wanted)} was not asked for in this run, and cannot be derived")
    ahead = ranks.ahead[:, columns].astype(np.int64)
    counted = (ahead >= 0).all(axis=1)
    return PoolCounts(
        rank=np.where(counted, ahead.sum(axis=1) + 1, UNRETRIEVED),
        ties=ranks.ties[:, columns].sum(axis=1, dtype=np.int64),
        unknown=(ahead == UNKNOWN).any(axis=1),
        unlisted=(ahead == UNLISTED).any(axis=1),
        listed=ranks.listed[:, columns].sum(axis=1, dtype=np.int64),
        size=int(ranks.column_sizes[columns].sum()),
    )


def setting_ranks(ranks: Ranks, setting: Setting) -> SettingRanks:
    """Return the ranks of one setting; queries without a relevant document in its languages are left out."""
    pool = pool_counts(ranks, setting.document_languages)
    inside = np.isin(ranks.row_languages, [ranks.language_index(language) for language in setting.document_languages])
    asked = ranks.query_languages[ranks.row_queries] == ranks.language_index(setting.query_language)
    rows = np.flatnonzero(inside & asked)
    if pool.unknown[rows].any():
        raise UserError(f"{setting.query_language} queries were not run against {'+'.join(setting.document_languages)}")
    queries, index = np.unique(ranks.row_queries[rows], return_inverse=True)
    relevant = relevant_ranks(index, pool.rank[rows], ranks.row_grades[rows], len(queries))
    itself = setting.query_language in setting.document_languages and ranks.queries_are_documents
    tied, unretrieved = _share(pool.ties[rows] > 0), _share(pool.unlisted[rows])
    return SettingRanks(queries.astype(np.int64), relevant, tied, unretrieved, pool.size - itself)


def write_ranks(ranks: Ranks) -> bytes:
    """Return the ranks file's content: a compressed npz, the same bytes for the same counts."""
    arrays = {field.name: getattr(ranks, field.name) for field in fields(ranks)}
    size = sum(array.nbytes for array in arrays.values())
    if size > _LARGEST:
        raise UserError(f"the counts take {size:,} bytes, a ranks file {_LARGEST:,}: measure fewer languages at once")
    buffer = BytesIO()
    # With `allow_pickle=False`, numpy 2.0 would save an array of that name.
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def read_ranks(path: Path, largest: int = _LARGEST) -> Ranks:
    """Read and check a ranks file whose arrays take at most `largest` bytes.

    Raises `InvalidResult` with what is wrong with it.
    """
    try:
        ranks = Ranks(**read_arrays(path, [field.name for field in fields(Ranks)], largest))  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise InvalidResult(f"{path} is missing: the ranks file must lie beside its result") from error
    except Exception as error:  # Broken archives make zipfile, zlib and numpy raise a dozen kinds.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidResult(f"{path} is not a ranks file: {reason[:200]}") from error
    faults = _faults(ranks)
    if faults:
        raise InvalidResult(f"{path} is not a sound ranks file: {'; '.join(faults)}")
    return ranks


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else float("nan")


def _columns_of(ranks: Ranks, document_languages: Iterable[str]) -> list[int]:
    wanted = sorted(set(document_languages))
    whole = ranks.column_of(wanted)
    if whole is not None:
        return [whole]
    singles = [ranks.column_of([language]) for language in wanted]
    # A ranker counts a document in its own language's column only: those columns do not add up.
    additive = [column for column in singles if column is not None and not (ranks.ahead[:, column] == UNKNOWN).any()]
    return additive if len(additive) == len(wanted) else []


def _faults(ranks: Ranks) -> list[str]:
    return _shape_faults(ranks) or _range_faults(ranks) or _order_faults(ranks)


def _shape_faults(ranks: Ranks) -> list[str]:
    shapes = {
        "columns": (ranks.column_sizes,),
        "topic_ids": (ranks.topic_clusters,),
        "query_topics": (ranks.query_languages, ranks.top, ranks.listed),
        "document_ids": (ranks.document_languages,),
        "row_queries": (ranks.row_documents, ranks.row_grades, ranks.ahead, ranks.ties),
    }
    faults = [
        f"arrays beside {name} differ in length"
        for name, others in shapes.items()
        if any(getattr(ranks, name).shape[:1] != other.shape[:1] for other in others)
    ]
    strings = ("languages", "columns", "topic_ids", "cluster_unit", "document_ids")
    faults += [
        f"{field.name} has dtype {getattr(ranks, field.name).dtype}"
        for field in fields(ranks)
        if getattr(ranks, field.name).dtype.kind != ("U" if field.name in strings else "i")
    ]
    tables = ("ahead", "ties", "top", "listed")
    faults += [
        f"{field.name} has {getattr(ranks, field.name).ndim} dimensions"
        for field in fields(ranks)
        if getattr(ranks, field.name).ndim != (2 if field.name in tables else 1)
    ]
    if not faults and any(table.shape[1:] != ranks.columns.shape for table in (ranks.ahead, ranks.ties, ranks.listed)):
        faults.append("ahead, ties, listed and columns differ in shape")
    for name, most in (("languages", _MOST_LANGUAGES), ("columns", _MOST_COLUMNS)):
        if getattr(ranks, name).size > most:
            faults.append(f"{name} has more than {most:,} names")
    faults += [f"{name} has what is no text" for name in strings if not faults and not _is_text(getattr(ranks, name))]
    return faults if ranks.cluster_unit.shape == (1,) else [*faults, "cluster_unit is not one word"]


def _is_text(values: Strings) -> bool:
    """Say whether strings hold characters only: numpy keeps any number in place of one, and fails when it is read."""
    codes = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).view(np.uint32)
    return not ((codes > sys.maxunicode) | ((codes >= 0xD800) & (codes <= 0xDFFF))).any()


def _range_faults(ranks: Ranks) -> list[str]:
    sizes = ranks.column_sizes.astype(np.int64)
    indexes = (
        ("query_topics", ranks.query_topics, 0, len(ranks.topic_ids)),
        ("query_languages", ranks.query_languages, 0, len(ranks.languages)),
        ("document_languages", ranks.document_languages, 0, len(ranks.languages)),
        ("row_queries", ranks.row_queries, 0, len(ranks.query_topics)),
        ("row_documents", ranks.row_documents, 0, len(ranks.document_ids)),
        ("topic_clusters", ranks.topic_clusters, 0, len(np.unique(ranks.topic_clusters))),
        ("top", ranks.top, -1, len(ranks.document_ids)),
        ("row_grades", ranks.row_grades, 1, LARGEST_GRADE + 1),
        ("column_sizes", ranks.column_sizes, 0, 1 << 31),
        ("ties", ranks.ties, 0, sizes + 1),
        ("ahead", ranks.ahead, UNLISTED, sizes + 1),
        ("listed", ranks.listed, -1, sizes + 1),
    )
    faults = [
        f"{name} is out of range" for name, values, low, high in indexes if ((values < low) | (values >= high)).any()
    ]
    for name in ("languages", "columns", "topic_ids", "document_ids"):
        if len(np.unique(getattr(ranks, name))) < len(getattr(ranks, name)):
            faults.append(f"{name} has one name twice")
    if not {language for column in ranks.columns for language in column.split("+")} <= set(ranks.languages):
        faults.append("columns has languages that languages has not")
    return faults


def _order_faults(ranks: Ranks) -> list[str]:
    """Say where the counts follow from no order of documents."""
    if (np.diff(ranks.row_queries) < 0).any():
        return ["rows are not sorted by query"]
    pools = [frozenset(column.split("+")) for column in ranks.columns]
    inside = np.array([[language in pool for pool in pools] for language in ranks.languages], dtype=bool)
    own = inside.reshape(len(ranks.languages), len(pools))[ranks.row_languages] & (ranks.ahead >= 0)
    for name, counts in (("stand ahead", ranks.ahead), ("tie", ranks.ties)):
        if (own & (counts >= ranks.column_sizes)).any():
            return [f"more documents {name} than there are others"]
    places = np.where(own, ranks.ahead, -1).astype(np.int64)
    if all(len(pool) == 1 for pool in pools):
        counted = (ranks.ahead >= 0).all(axis=1, keepdims=True)
        places = np.hstack([places, np.where(counted, ranks.ahead.sum(axis=1, dtype=np.int64, keepdims=True), -1)])
    for ahead in places.T:
        taken = (ranks.row_queries.astype(np.int64) << 32 | ahead)[ahead >= 0]
        if len(np.unique(taken)) < len(taken):
            return ["two relevant documents of one query stand at the same place"]
    return []
