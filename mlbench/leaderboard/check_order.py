"""Checks the ranks of queries by the vectors of some documents: whether they can be those of the order that these give.

Every score is off by noise, so a document stands ahead of another only where their scores differ by more. Ranks are
refused where a document that does stand ahead is said to stand behind, or too few or too many are said to stand ahead.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import whole_pool
from mlbench.embeddings.encode import embed
from mlbench.embeddings.exact import Grid, norms
from mlbench.errors import UserError
from mlbench.protocols import Encoder, Group, Progress, Role, Vectors
from mlbench.ranking.index_arrays import IndexArrays
from mlbench.ranking.ranks import Ranks, pool_counts

# How rarely honest counts give a sample that is called a fault.
_RARE = 1e-9
_MOST_DEVIATIONS = 8
Indexes = NDArray[np.intp]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Vectors (n, dim) of some queries and documents, whose numbers in the arrays are ascending, (n,)."""

    encoder: Encoder
    queries: Indexes
    documents: Indexes
    of_queries: Vectors
    of_documents: Vectors

    @classmethod
    def of(
        cls, encoder: Encoder, arrays: IndexArrays, queries: Indexes, documents: Indexes, progress: Progress
    ) -> "Encoded":
        """Encode the queries and documents of these numbers, each distinct text once."""
        collection, texts, rows = arrays.collection, dict[Group, list[str]](), dict[Group, Indexes]()
        # Queries are numbered language by language.
        firsts = np.searchsorted(arrays.query_languages, arrays.query_languages)
        sides: tuple[tuple[Role, Indexes, NDArray[np.int32], NDArray[np.integer]], ...] = (
            ("query", queries, arrays.query_languages, np.arange(len(firsts)) - firsts),
            ("document", documents, arrays.document_languages, arrays.document_sources),
        )
        for role, numbers, languages, places in sides:
            for index, language in enumerate(collection.languages):
                own = np.flatnonzero(languages[numbers] == index)
                if len(own):
                    held = collection.queries[language] if role == "query" else collection.documents[language]
                    rows[role, language] = own
                    texts[role, language] = [held[place].text for place in places[numbers[own]].tolist()]
        embeddings = embed(encoder, texts, None, progress)
        found = {side[0]: np.empty((len(side[1]), encoder.dim), np.float32) for side in sides}
        for (role, language), own in rows.items():
            found[role][own] = embeddings.vectors(role, language)
        return cls(encoder, queries, documents, found["query"], found["document"])

    def vector(self, role: Role, number: int) -> Vectors:
        """Return the vector of a query or document that was encoded, (dim,)."""
        numbers, vectors = (self.queries, self.of_queries) if role == "query" else (self.documents, self.of_documents)
        found: Vectors = vectors[np.searchsorted(numbers, number)]
        return found

    def places(self, documents: Indexes) -> Indexes:
        """Return where those of some documents stand that were encoded, in the order given."""
        places = np.searchsorted(self.documents, documents)
        found: Indexes = places[np.append(self.documents, -1)[places] == documents]
        return found

    @cached_property
    def _grid(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Vectors of queries and documents on the grid, and their norms, which are 1 where cosines are compared."""
        sides, similarity = (self.of_queries, self.of_documents), self.encoder.similarity
        queries, documents = (Grid.of(each, similarity)[:] for each in sides)
        lengths = [norms(each) if similarity == "dot" else np.ones(len(each)) for each in sides]
        return queries, documents, lengths[0], lengths[1]

    def scores(self, query: int, noise: float) -> tuple[Floats, Floats]:
        """Return the least and the largest score that each document may have, (documents,).

        `noise` is how far vectors are off, as a part of their norms. In many dimensions little of it has the direction
        of another vector: cosines are off by noise / sqrt(dim) or so, and by 8 times as much at most, which is more
        than twice what was seen between machines.
        """
        queries, documents, of_queries, of_documents = self._grid
        place = np.searchsorted(self.queries, query)
        share = min(1.0, _MOST_DEVIATIONS / self.encoder.dim**0.5)
        scores, slack = documents @ queries[place], noise * share * of_queries[place] * of_documents
        return scores - slack, scores + slack


@dataclass(frozen=True, eq=False)
class Lists:
    """What ranks say of the lists of queries, which are numbered as in the arrays."""

    arrays: IndexArrays
    ranks: Ranks

    def documents(self, asked: Indexes, whole: Indexes) -> Indexes:
        """Return the documents by which queries are checked: the relevant ones and, of the `whole` queries, tops.

        Of the others, the last document of the top stands for all of it.
        """
        is_whole, found = set(whole.tolist()), [np.empty(0, np.intp)]
        for query in asked.tolist():
            said = self._of(query)
            found += [said.relevant, said.top if query in is_whole else said.top[-1:]]
        documents = np.unique(np.concatenate(found))
        return documents[documents >= 0]

    def fault(self, query: int, encoded: Encoded, sample: Indexes, noise: float) -> str:
        """Say what is wrong with the ranks of a query; or nothing. `sample` are documents that were drawn of all."""
        said = self._of(query)
        low, high = encoded.scores(query, noise)
        languages, left_out = self.arrays.document_languages[encoded.documents], self.arrays.own_documents[query]
        inside = self._inside(query, said, encoded)
        if fault := _order_fault(said, encoded, inside, low, high):
            return fault
        own = encoded.places(said.relevant)
        others = np.tile(inside, (len(own), 1))
        others[np.arange(len(own)), own] = False
        before, behind = others & (low > high[own][:, None]), others & (high < low[own][:, None])
        lost = self.arrays.document_languages[left_out[left_out >= 0]]
        if _has_other_counts(said, before, behind, languages, lost):
            return "other numbers of documents stand ahead of relevant ones than the vectors give"
        homes = self.arrays.document_languages[: self.arrays.n_documents]
        n_others = int(said.in_pool[homes].sum()) - 1
        if _is_unlikely(said, n_others, others & np.isin(encoded.documents, sample), before, behind):
            return "drawn documents stand ahead of relevant ones more or less often than all are said to"
        return ""

    def gains(self, query: int, encoded: Encoded) -> Floats:
        """Return how much larger reciprocal ranks are said to be than the vectors give, (relevant documents on top,).

        The top must have been encoded.
        """
        said, (scores, _) = self._of(query), encoded.scores(query, 0.0)
        relevant = np.flatnonzero(np.isin(said.top, said.relevant))
        ahead = scores > scores[encoded.places(said.top[relevant])][:, None]
        found: Floats = 1 / (1 + relevant) - 1 / (1 + (ahead & self._inside(query, said, encoded)).sum(axis=1))
        return found

    def _inside(self, query: int, said: "_QueryRanks", encoded: Encoded) -> Mask:
        """Say which of the encoded documents are in the pool of a query, (documents,)."""
        in_pool = said.in_pool[self.arrays.document_languages[encoded.documents]]
        found: Mask = in_pool & ~np.isin(encoded.documents, self.arrays.own_documents[query])
        return found

    def _of(self, query: int) -> "_QueryRanks":
        ranks, languages = self.ranks.part(query, query + 1), self.arrays.collection.languages
        pool = whole_pool(languages[self.arrays.query_languages[query]], languages)
        rows = np.flatnonzero((ranks.ahead >= 0).any(axis=1))
        top = ranks.top[0]
        try:
            ahead = pool_counts(ranks, pool).rank[rows] - 1
        except UserError:
            # Compact ranks need not have the pool.
            ahead = np.empty(0, np.int64)
        return _QueryRanks(
            ranks=ranks,
            rows=rows,
            in_pool=np.isin(languages, pool),
            top=self._numbers[top[top >= 0]],
            relevant=self._numbers[ranks.row_documents[rows]],
            ahead=ahead,
        )

    @cached_property
    def _numbers(self) -> Indexes:
        """The number of each document that the ranks mention, -1 for one that is in no corpus."""
        known = {doc_id: number for number, doc_id in enumerate(self.arrays.document_ids[: self.arrays.n_documents])}
        return np.array([known.get(doc_id, -1) for doc_id in self.ranks.document_ids.tolist()], np.intp)


@dataclass(frozen=True, eq=False)
class _QueryRanks:
    """The `ranks` of one query, and its `rows` that are counted in some column, with the documents `relevant` in them.

    `in_pool` says which languages are in the pool of all that the query is asked against, `ahead` (rows,) how many of
    its documents stand ahead, empty where that is not known; `top` are the documents at its top.
    """

    ranks: Ranks
    rows: Indexes
    in_pool: Mask
    top: Indexes
    relevant: Indexes
    ahead: NDArray[np.int64]


def _order_fault(said: _QueryRanks, encoded: Encoded, inside: Mask, low: Floats, high: Floats) -> str:
    """Say what is wrong with the list of a query: its top, then the relevant documents behind that; or nothing."""
    top = encoded.places(said.top)
    if (said.top < 0).any() or not inside[top].all():
        return "the top has documents that are not in the pool"
    order = np.argsort(said.ahead)
    behind = said.relevant[order[said.ahead[order] >= len(said.top)]] if len(said.ahead) else said.relevant[:0]
    places = np.append(top, encoded.places(behind))
    if (low[places[1:]] > np.minimum.accumulate(high[places])[:-1]).any():
        return "the documents at the top and the relevant ones are in another order than the vectors give"
    others = inside.copy()
    others[top] = False
    is_full = len(said.top) == said.ranks.top.shape[1]
    if is_full and (low[others] > high[top].min(initial=np.inf)).any():
        return "documents that are nearer are missing from the top"
    return ""


def _has_other_counts(
    said: _QueryRanks, before: Mask, behind: Mask, languages: NDArray[np.int32], lost: NDArray[np.int32]
) -> bool:
    """Say whether fewer documents are said to stand ahead of a relevant one, or behind it, than were seen there.

    `before` and `behind` are (rows, documents), `languages` those of the documents, `lost` those of the documents that
    the query is itself.
    """
    ranks, hold = said.ranks, said.ranks.columns_hold
    least, last = (each.astype(np.float32) @ hold[languages].astype(np.float32) for each in (before, behind))
    own = hold[ranks.row_languages[said.rows]]
    most = ranks.column_sizes - hold[lost].sum(axis=0) - own - last
    for place in range(ranks.ahead.shape[1]):
        columns, stated = ranks.columns_at(place)[said.rows], ranks.ahead[said.rows, place]
        cells = np.arange(len(columns)), columns
        if ((stated >= 0) & ((stated < least[cells]) | (stated > most[cells]))).any():
            return True
    return False


def _is_unlikely(said: _QueryRanks, n_others: int, drawn: Mask, before: Mask, behind: Mask) -> bool:
    """Say whether `drawn` documents (rows, documents) stand ahead far more or less often than all others are said to.

    There are `n_others` in the pool.
    """
    n_drawn = drawn.sum(axis=1)
    if not len(said.ahead) or not n_drawn.all():
        return False
    stated = np.clip(said.ahead / max(n_others, 1), 0, 1)
    least, most = (before & drawn).sum(axis=1) / n_drawn, 1 - (behind & drawn).sum(axis=1) / n_drawn
    return bool((n_drawn * divergence(np.clip(stated, least, most), stated) > -np.log(_RARE)).any())


def divergence(shares: Floats, expected: Floats) -> Floats:
    """Return the Kullback-Leibler divergence of shares from expected ones, both (n,) in 0 to 1; infinite from 0 or 1.

    Of n documents drawn from many, a share or one further off has at most the probability exp(-n divergence) (Hoeffding
    1963, theorem 1).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(s > 0, s * np.log(s / p), 0.0) for s, p in ((shares, expected), (1 - shares, 1 - expected))]
    found: Floats = parts[0] + parts[1]
    return found
