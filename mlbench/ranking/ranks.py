"""The content of a ranks file: the counts of one retriever on one task, enough to recompute every published number.

A *column* is a set of document languages. An encoder's columns are single languages, whose counts add up to those of
any pool; a ranker's are the pools it was asked for, and no other can be answered. With many languages, the counts in
every column would grow with their cube. Compact ranks then hold what was asked for: of each relevant document, the
counts in its own language and in each pool of several languages.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE, Setting
from mlbench.errors import UserError
from mlbench.measures.formulas import UNRETRIEVED, RelevantRanks, relevant_ranks

Integers = NDArray[np.int32]
_ROWS = 1 << 20


def is_left_out(
    query_topics: Integers, query_languages: Integers, row_queries: Integers, row_languages: Integers
) -> bool:
    """Say whether no query is judged for a document of its own language, though its translations are for that document.

    All are int32: `query_topics` and `query_languages` (queries,), `row_queries` and `row_languages` (rows,), the query
    of each judgment and the language of its document. Judgments belong to topics: what one query of a topic is judged
    for, the others are as well, unless it is the query itself. No rows give False.
    """
    blocks = [slice(first, first + _ROWS) for first in range(0, len(row_queries), _ROWS)]
    if any((row_languages[rows] == query_languages[row_queries[rows]]).any() for rows in blocks):
        return False
    asked = query_topics.astype(np.int64) << 32 | query_languages
    judged = (query_topics[row_queries[rows]].astype(np.int64) << 32 | row_languages[rows] for rows in blocks)
    return any(bool(np.isin(block, asked).any()) for block in judged)


UNKNOWN = -1
"""In `ahead`: not counted, because the relevant document is in none of the column's languages, or nobody asked.

In `ties`: not known, because a ranker handed over no scores, or its list ends too early to tell.
"""
MISSING = -2
"""In `ahead`: judged relevant, and missing from the corpus."""
UNLISTED = -3
"""In `ahead`: in the corpus, and not in the ranker's list."""
MOST_COUNTS = 1 << 23
"""So many counts, rows times columns, are kept in every column; beyond it ranks are compact."""
Strings = NDArray[np.str_]


def are_many_counts(n_rows: int, n_columns: int) -> bool:
    """Say whether the counts of so many rows in every column are more than are kept."""
    return n_rows * n_columns > MOST_COUNTS


@dataclass(frozen=True, eq=False)
class Ranks:
    """Queries, their relevant documents and how many documents stand before each.

    One *row* is a (query, relevant document); rows are sorted by query. Integers are signed, of 32 bits at most;
    compact ranks have narrower ones where the values allow it. `columns` (columns,)
    are language tags joined by `+`; `column_sizes` (columns,) their numbers of documents. `topic_clusters` (topics,)
    are indexes of the units of resampling. `query_topics`, `query_languages` (queries,), `document_languages`
    (documents,), `row_queries`, `row_documents` (rows,) are indexes; `document_ids` names only documents that a row
    or `top` mentions. `ahead` and `ties`, the other documents with the same score, are (rows, columns), or in compact
    ranks (rows, 1 + pools): the counts in the column of the document's own language, then those in each column of
    several languages, in the order of `columns`. `top` is (queries, depth), indexes of the best documents of all
    languages together, -1 where there are fewer. `listed` (queries, columns) is how many documents each list held: all
    of the column's, unless a ranker stopped before; -1 where nobody asked; in compact ranks it may be one row that is
    broadcast to all queries.

    With captioned images, `IMAGE` is one of `languages`, and `top` has the best captions of an image, or the best
    images of a caption. `alignment` is then float32 (rows, 2): in the rows of queries that are images, the cosine of
    image and caption, and that of the caption and the closest other caption of the image in another language; NaN where
    there is none. None for texts alone, and where a retriever has no cosines.

    `judged` float32 (rows, 2) has cosines of another model, the judge: that of the row's image and caption, and that of
    the query and the first document found for it in the language of the row's document, 0 of an empty list; NaN where
    nobody asked. None without a judge.

    `grade_scale` int32 (1,) says how many times as large `row_grades` are as the grades that were given; None where
    these are whole numbers themselves.
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
    alignment: NDArray[np.float32] | None = None
    grade_scale: Integers | None = None
    judged: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        """Say in one line how much was counted."""
        pairs = f"{len(self.row_queries):,} pairs of {len(self.query_topics):,} queries and their relevant documents"
        return f"Ranks of {pairs} in {len(self.columns):,} columns"

    @property
    def is_compact(self) -> bool:
        """Whether `ahead` and `ties` hold the counts in a document's own language and in the pools alone."""
        return bool(self.ahead.shape[1] != len(self.columns))

    @property
    def row_languages(self) -> Integers:
        """The language index of each row's document; int32 (rows,)."""
        return self.document_languages[self.row_documents]

    @property
    def grades(self) -> NDArray[np.float64]:
        """The grade of each row's document, as it was given; float64 (rows,)."""
        scale = 1 if self.grade_scale is None else int(self.grade_scale[0])
        return self.row_grades / scale

    @cached_property
    def queries_are_documents(self) -> bool:
        """Whether each query left its own pool: where it has been judged, it is for its translations alone."""
        return is_left_out(self.query_topics, self.query_languages, self.row_queries, self.row_languages)

    @property
    def is_collapsed(self) -> bool:
        """Whether each relevant document whose ties are known has the same score as its whole list, in every column.

        Such a retriever tells nothing apart. False where no ties are known, or lists hold one document.
        """
        seen = False
        inside = self.columns_hold
        for part in self.parts():
            for place in range(part.ahead.shape[1]):
                columns, languages = part.columns_at(place), part.row_languages
                others = part.listed[part.row_queries, columns] - inside[languages, columns]
                known = (part.ahead[:, place] >= 0) & (part.ties[:, place] >= 0) & (others > 0)
                if (part.ties[:, place] < others)[known].any():
                    return False
                seen |= bool(known.any())
        return seen

    @property
    def has_images(self) -> bool:
        """Whether queries and documents are images and their captions."""
        return bool((self.languages == IMAGE).any())

    @property
    def spoken_languages(self) -> tuple[str, ...]:
        """The languages without `IMAGE`."""
        return tuple(language for language in self.languages.tolist() if language != IMAGE)

    def column_of(self, languages: Iterable[str]) -> int | None:
        """Return the index of the column that holds exactly these languages, or None."""
        name = "+".join(sorted(set(languages)))
        found = np.flatnonzero(self.columns == name)
        return int(found[0]) if len(found) else None

    @property
    def columns_hold(self) -> NDArray[np.bool_]:
        """Whether each language is one of a column's, bool (languages, columns)."""
        pools = [frozenset(column.split("+")) for column in self.columns.tolist()]
        held = [[language in pool for pool in pools] for language in self.languages.tolist()]
        return np.array(held, dtype=np.bool_).reshape(len(self.languages), len(pools))

    def columns_at(self, place: int) -> NDArray[np.int64]:
        """Return the column that each row is counted in at a place of `ahead`, int64 (rows,); -1 for none."""
        if place or not self.is_compact:
            return np.full(len(self.row_queries), len(self.columns) - self.ahead.shape[1] + place)
        numbers = {name: column for column, name in enumerate(self.columns.tolist())}
        return np.array([numbers.get(language, -1) for language in self.languages.tolist()])[self.row_languages]

    def counts_in(self, column: int) -> "ColumnCounts":
        """Return the rows that may have a count in a column, and their counts there.

        In compact ranks, those of a single language are the rows whose document is in it; else they are all rows.
        """
        if not self.is_compact:
            return ColumnCounts(slice(None), self.ahead[:, column], self.ties[:, column])
        several = np.char.find(self.columns, "+") >= 0
        if several[column]:
            place = 1 + int(several[:column].sum())
            return ColumnCounts(slice(None), self.ahead[:, place], self.ties[:, place])
        rows = np.flatnonzero(self.row_languages == self.language_index(str(self.columns[column])))
        return ColumnCounts(rows, self.ahead[rows, 0], self.ties[rows, 0])

    def part(self, first: int, end: int) -> "Ranks":
        """Return the ranks of the queries `first` to `end` alone, numbered from 0; the arrays are views.

        Topics, clusters and documents keep their numbers.
        """
        queries = slice(first, end)
        # Of a wider type, they would have all rows converted.
        edges = np.array([first, end], dtype=np.promote_types(self.row_queries.dtype, np.int32))
        rows = slice(*np.searchsorted(self.row_queries, edges).tolist())
        return self.choose(queries, rows, self.row_queries[rows] - np.int32(first))

    def choose(
        self, queries: slice | NDArray[np.bool_], rows: slice | NDArray[np.int64], row_queries: Integers
    ) -> "Ranks":
        """Return the ranks of some queries and their rows, given by slice, mask or index, alone.

        `row_queries` (rows,) are the new numbers of the rows' queries. Topics, clusters and documents keep theirs.
        """
        return replace(
            self,
            query_topics=self.query_topics[queries],
            query_languages=self.query_languages[queries],
            row_queries=row_queries,
            row_documents=self.row_documents[rows],
            row_grades=self.row_grades[rows],
            ahead=self.ahead[rows],
            ties=self.ties[rows],
            top=self.top[queries],
            listed=self.listed[queries],
            alignment=None if self.alignment is None else self.alignment[rows],
            judged=None if self.judged is None else self.judged[rows],
        )

    def parts(self) -> Iterator["Ranks"]:
        """Yield the ranks of each run of consecutive queries in one language: what arithmetic over rows holds at once.

        Ranks are numbered language by language, so that there is one part for each query language.
        """
        edges = np.flatnonzero(np.diff(self.query_languages)) + 1
        starts = [0, *edges.tolist(), len(self.query_languages)]
        for first, end in pairwise(starts):
            yield self.part(first, end)

    def language_index(self, language: str) -> int:
        """Return the index of `language`; raises `UserError` when the result does not have it."""
        found = self._language_indexes.get(language)
        if found is None:
            raise UserError(f"the result has no language {language!r}: it has {', '.join(self.languages)}")
        return found

    @cached_property
    def _language_indexes(self) -> dict[str, int]:
        return {language: index for index, language in enumerate(self.languages.tolist())}


@dataclass(frozen=True, eq=False)
class ColumnCounts:
    """The counts of some rows (indexes, or a slice of all) in one column: `ahead` and `ties`, (rows,)."""

    rows: NDArray[np.int64] | slice
    ahead: Integers
    ties: Integers


@dataclass(frozen=True, eq=False)
class SettingRanks:
    """One setting's share of the counts.

    `queries` int64 (n,) are indexes of the queries that have a relevant document in the setting; `relevant` holds
    their ranks, one row each; `tied` is the share of ranked relevant documents that tie with another document of the
    pool, NaN where that is known of none, `unretrieved` the share that a ranker's list does not hold, NaN without
    relevant documents; `pool_size` counts the documents.
    """

    queries: NDArray[np.int64]
    relevant: RelevantRanks
    tied: float
    unretrieved: float
    pool_size: int


@dataclass(frozen=True, eq=False)
class SettingBlock:
    """The counts of several settings that ask in one language, setting by setting.

    `settings` (settings,) are their indexes among those that were asked for. `queries` int64 (n,) are the queries of
    the first setting, then those of the next; `relevant` has a row for each, `edges` int64 (settings + 1,) say where
    settings begin and end. The others are (settings,) and what they are in `SettingRanks`.
    """

    settings: list[int]
    queries: NDArray[np.int64]
    edges: NDArray[np.int64]
    relevant: RelevantRanks
    tied: NDArray[np.float64]
    unretrieved: NDArray[np.float64]
    pool_sizes: NDArray[np.int64]


def can_answer(ranks: Ranks, document_languages: Iterable[str]) -> bool:
    """Say whether the counts of this pool are stored or follow from the stored ones."""
    return bool(_columns_of(ranks, document_languages))


@dataclass(frozen=True, eq=False)
class PoolCounts:
    """The counts of one pool: each row's rank (int64, `UNRETRIEVED` possible), its ties (int64), and the pool's size.

    `ties` are `UNKNOWN` where there is no rank, or they are not known. `unknown` marks rows that nobody asked about,
    `unlisted` those that are in the corpus and not in a ranker's list; `listed` (queries,) is how long each list is, -1
    where nobody asked. Rows whose document is outside the pool have a meaningless rank.
    """

    rank: NDArray[np.int64]
    ties: NDArray[np.int64]
    unknown: NDArray[np.bool_]
    unlisted: NDArray[np.bool_]
    listed: NDArray[np.int64]
    size: int

    def tied_share(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> float:
        """Return the share of those of the `rows` (indexes or mask) that tie; NaN where that is known of none."""
        ties = self.ties[rows]
        return _share(ties[ties != UNKNOWN] > 0)


def pool_counts(ranks: Ranks, document_languages: Iterable[str]) -> PoolCounts:
    """Return the counts of a pool; raises `UserError` for one that the stored counts cannot answer."""
    columns = _answering_columns(ranks, tuple(sorted(set(document_languages))))
    ahead, ties = (np.full((len(ranks.row_queries), len(columns)), UNKNOWN, dtype=np.int64) for _ in range(2))
    for place, column in enumerate(columns):
        counts = ranks.counts_in(column)
        ahead[counts.rows, place], ties[counts.rows, place] = counts.ahead, counts.ties
    listed, size = ranks.listed[:, columns].sum(axis=1, dtype=np.int64), int(ranks.column_sizes[columns].sum())
    return _pool_counts(ahead, ties, listed, size)


def _pool_counts(
    ahead: NDArray[np.signedinteger], ties: NDArray[np.signedinteger], listed: NDArray[np.int64], size: int
) -> PoolCounts:
    """Return the counts of a pool from those in each of its columns, `ahead` and `ties` (rows, columns)."""
    counted = (ahead >= 0).all(axis=1)
    return PoolCounts(
        rank=np.where(counted, ahead.sum(axis=1, dtype=np.int64) + 1, UNRETRIEVED),
        ties=np.where(counted & (ties >= 0).all(axis=1), ties.sum(axis=1, dtype=np.int64), UNKNOWN),
        unknown=(ahead == UNKNOWN).any(axis=1),
        unlisted=(ahead == UNLISTED).any(axis=1),
        listed=listed,
        size=size,
    )


def setting_ranks(ranks: Ranks, setting: Setting) -> SettingRanks:
    """Return the ranks of one setting; queries without a relevant document in its languages are left out."""
    (block,) = setting_blocks(ranks, [setting])
    tied, unretrieved = float(block.tied[0]), float(block.unretrieved[0])
    return SettingRanks(block.queries, block.relevant, tied, unretrieved, int(block.pool_sizes[0]))


def setting_blocks(ranks: Ranks, settings: Sequence[Setting]) -> Iterator[SettingBlock]:
    """Yield the ranks of different settings, group by group; see `setting_groups`."""
    return (group.gather() for group in setting_groups(ranks, settings))


def setting_groups(ranks: Ranks, settings: Sequence[Setting]) -> "Iterator[SettingGroup]":
    """Yield groups of different settings: those that search one language in one group for each query language.

    Each pool of several languages is a group of its own. So rows are sorted by setting once for all settings that each
    row is part of, and no more than the rows of one query language are held. Raises `UserError` for settings that the
    counts cannot answer.
    """
    itself = ranks.queries_are_documents
    columns = {pool: _answering_columns(ranks, pool) for pool in {each.document_languages for each in settings}}
    by_language: dict[str, list[int]] = {}
    for index, setting in enumerate(settings):
        by_language.setdefault(setting.query_language, []).append(index)
    for language, own in by_language.items():
        asked = np.flatnonzero(ranks.query_languages == ranks.language_index(language))
        queries = slice(int(asked[0]), int(asked[-1]) + 1) if len(asked) else slice(0, 0)
        if queries.stop - queries.start != len(asked):
            raise UserError(f"the queries in {language} do not stand together: make the ranks anew")
        single = [index for index in own if len(settings[index].document_languages) == 1]
        several = ([index] for index in own if len(settings[index].document_languages) > 1)
        for chosen in filter(None, [single, *several]):
            pools = [settings[index].document_languages for index in chosen]
            sizes = [int(ranks.column_sizes[columns[pool]].sum()) - (itself and language in pool) for pool in pools]
            of_pools = [columns[pool] for pool in pools]
            yield SettingGroup(ranks, queries, chosen, pools, of_pools, np.array(sizes, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class SettingGroup:
    """What a `SettingBlock` is made of: `queries` of one language, and one pool or several languages that they search.

    `settings` are the indexes of the settings; `pools` are what they search, `columns` what the counts of each are in,
    and `sizes` int64 (pools,) the numbers of documents.
    """

    ranks: Ranks
    queries: slice
    settings: list[int]
    pools: list[tuple[str, ...]]
    columns: list[list[int]]
    sizes: NDArray[np.int64]

    def gather(self) -> SettingBlock:
        """Sort the rows by setting; raises `UserError` where queries were not run against a pool."""
        part, n_settings = self.ranks.part(self.queries.start, self.queries.stop), len(self.settings)
        # Of 16-bit numbers, numpy's stable sort is a radix sort.
        setting_of = np.full(len(part.languages), n_settings, dtype=np.int16)
        for number, pool in enumerate(self.pools):
            setting_of[[part.language_index(each) for each in pool]] = number
        unsorted = setting_of[part.row_languages]
        n_rows = np.count_nonzero(unsorted < n_settings)
        is_sorted = (unsorted[1:] >= unsorted[:-1]).all()
        rows = slice(n_rows) if is_sorted else np.argsort(unsorted, kind="stable")[:n_rows]
        place, counts = unsorted[rows].astype(np.int64), self._counts(part, rows)
        if counts.unknown.any():
            pool = self.pools[place[counts.unknown.argmax()]]
            language = part.languages[part.query_languages[0]]
            raise UserError(f"{language} queries were not run against {'+'.join(pool)}")
        query = part.row_queries[rows]
        begins = np.ones(n_rows, dtype=np.bool_)
        begins[1:] = (place[1:] != place[:-1]) | (query[1:] != query[:-1])
        queries, places = query[begins].astype(np.int64), place[begins]
        listed = np.zeros(len(queries), dtype=np.int64)
        for each in np.array(self.columns).T:
            listed += part.listed[queries, each[places]]
        listed = np.minimum(listed, self.sizes[places])
        relevant = relevant_ranks(begins.cumsum() - 1, counts.rank, part.grades[rows], len(queries), listed)
        known = counts.ties != UNKNOWN
        return SettingBlock(
            settings=self.settings,
            queries=queries + self.queries.start,
            edges=np.searchsorted(places, np.arange(n_settings + 1)),
            relevant=relevant,
            tied=_shares(place[known], counts.ties[known] > 0, n_settings),
            unretrieved=_shares(place, counts.unlisted, n_settings),
            pool_sizes=self.sizes,
        )

    def _counts(self, part: Ranks, rows: NDArray[np.int64] | slice) -> PoolCounts:
        """Return the counts of some rows, each in the pool that it is part of; what is said of lists is empty."""
        nothing = np.empty(0, dtype=np.int64)
        if len(self.pools) == 1 and len(self.pools[0]) > 1:
            whole = pool_counts(part, self.pools[0])
            return replace(
                whole,
                rank=whole.rank[rows],
                ties=whole.ties[rows],
                unknown=whole.unknown[rows],
                unlisted=whole.unlisted[rows],
            )
        if part.is_compact:
            return _pool_counts(part.ahead[rows, :1], part.ties[rows, :1], nothing, 0)
        column_of = np.zeros(len(part.languages), dtype=np.int64)
        column_of[[part.language_index(language) for (language,) in self.pools]] = [each for (each,) in self.columns]
        cells = np.arange(len(part.row_queries))[rows, None], column_of[part.row_languages[rows]][:, None]
        return _pool_counts(part.ahead[cells], part.ties[cells], nothing, 0)


def _shares(groups: NDArray[np.int64], mask: NDArray[np.bool_], n_groups: int) -> NDArray[np.float64]:
    """Return which share of the `mask` (n,) is true in each group, (groups,); NaN in a group without any."""
    found, whole = (np.bincount(each, minlength=n_groups) for each in (groups[mask], groups))
    shares: NDArray[np.float64] = np.divide(found, whole, out=np.full(n_groups, np.nan), where=whole > 0)
    return shares


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if len(mask) else float("nan")


def _answering_columns(ranks: Ranks, pool: Sequence[str]) -> list[int]:
    """Return the columns whose counts add up to those of a pool; raises `UserError` where there are none."""
    for language in pool:
        ranks.language_index(language)
    if columns := _columns_of(ranks, pool):
        return columns
    raise UserError(f"the pool {','.join(pool)} was not asked for in this run, and cannot be derived")


def _columns_of(ranks: Ranks, document_languages: Iterable[str]) -> list[int]:
    wanted = sorted(set(document_languages))
    whole = ranks.column_of(wanted)
    if whole is not None:
        return [whole]
    if ranks.is_compact:
        return []
    singles = [ranks.column_of([language]) for language in wanted]
    # A ranker counts a document in its own language's column only: those columns do not add up.
    inside = np.isin(ranks.languages, wanted)[ranks.row_languages]
    additive = [
        column for column in singles if column is not None and not (ranks.ahead[inside, column] == UNKNOWN).any()
    ]
    return additive if len(additive) == len(wanted) else []
