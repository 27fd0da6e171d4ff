"""Language bias in the ranks of one system: each topic's contributions to the scores, summed within clusters."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE
from mlbench.io.threads import ROWS_FOR_THREADS, in_threads
from mlbench.measures.bias import BiasScore, find_score, summarise
from mlbench.measures.chance import mean_range
from mlbench.measures.formulas import UNRETRIEVED
from mlbench.measures.native import RelevantDocuments
from mlbench.measures.top_lists import TopLists
from mlbench.measures.translations import PoolRanks
from mlbench.ranking.ranks import PoolCounts, Ranks, can_answer, pool_counts
from mlbench.results import LanguageShare
from mlbench.statistics.clusters import ClusterSample, finite

Floats = NDArray[np.float64]
_Found = TypeVar("_Found")


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """A score of one system, with its contributions summed within clusters.

    `value` is NaN where no topic has the score. `rows` float64 (languages,) are its values by language, empty for a
    score without rows; `references` are its ideal, chance level and companions over the same topics. `sums` and
    `counts` are float64 (clusters, columns): columns are languages, or settings of each language. `unretrieved` is the
    share of the relevant documents of the pool that are in no list, `listed` int64 (queries,) how long the lists are.
    """

    value: float
    sums: Floats
    counts: Floats
    n_topics: int
    rows: Floats
    references: dict[str, float | None]
    unretrieved: float
    listed: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BiasSums:
    """The multilingual pool of one system: what bias scores are computed on, and those that come topic by topic.

    `tied` is the share of the relevant documents that tie with another document, NaN where that is not known,
    `unretrieved` of those in no list; `collapsed` says that whole lists tie (see `Ranks.is_collapsed`). `shares` are
    those of the languages in the top of the lists, for the scores `language_share@k` that were asked for, and
    `random_share_ranges` how far apart they are in random orders, by the cutoff k.
    """

    languages: tuple[str, ...]
    n_topics: int
    n_documents: int
    tied: float
    unretrieved: float
    collapsed: bool
    scores: dict[str, ScoreSums]
    shares: tuple[LanguageShare, ...]
    random_share_ranges: dict[int, float]


def sum_bias(ranks: Ranks, names: Sequence[str], sample: ClusterSample) -> BiasSums:
    """Return the contributions to the bias scores called `names`; raises `UnknownName`.

    With captioned images, they are those of the pool of all captions, asked by images; only `rank_spread` is about
    images, asked by captions in several languages. Scores that follow from other numbers are not among `scores`.
    """
    scores = {name: find_score(name) for name in names}
    pools = translation_pools(ranks, native=any(score.needs == "native" for score in scores.values()))
    ties, listed = _ties_and_lists(ranks, ranks.spoken_languages)
    lists = {"documents": listed, "queries": listed}
    if ranks.has_images:
        _, lists["queries"] = _ties_and_lists(ranks, (IMAGE,))
    cutoffs = [int(name.partition("@")[2]) for name in names if name.startswith("language_share@")]
    return BiasSums(
        languages=tuple(ranks.spoken_languages),
        n_topics=int(np.isfinite(pools["documents"].rank).any(axis=(1, 2)).sum()),
        n_documents=pools["documents"].pool_size,
        tied=ties,
        unretrieved=pools["documents"].unlisted_share,
        collapsed=ranks.is_collapsed,
        scores={
            name: _sum_score(score, pools[score.compares], lists[score.compares], sample)
            for name, score in scores.items()
            if score.contributions is not None
        },
        shares=tuple(share for cutoff in cutoffs for share in _language_shares(ranks, cutoff)),
        random_share_ranges={cutoff: _random_share_range(ranks, cutoff) for cutoff in cutoffs},
    )


def _ties_and_lists(ranks: Ranks, languages: Sequence[str]) -> tuple[float, NDArray[np.int64]]:
    """Return the share of a pool's relevant documents that tie, NaN where that is known of none, and `listed`.

    The latter is int64 (queries,). The share is 0 where no relevant document has a rank.
    """

    def look(part: Ranks) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        counts = pool_counts(part, languages)
        inside = (counts.rank < UNRETRIEVED) & np.isin(part.row_languages, _indexes(ranks, languages))
        ties = counts.ties[inside]
        return counts.listed, np.array([len(ties), np.count_nonzero(ties >= 0), np.count_nonzero(ties > 0)])

    found = list(_in_parts(look, ranks))
    ranked, known, tied = sum((numbers for _, numbers in found), np.zeros(3, dtype=np.int64)).tolist()
    listed = np.concatenate([np.empty(0, dtype=np.int64), *(listed for listed, _ in found)])
    return (tied / known if known else np.nan if ranked else 0.0), listed


def _in_parts(work: Callable[[Ranks], _Found], ranks: Ranks) -> Iterator[_Found]:
    """Yield what `work` gives for the queries in each language, from several threads where there are many rows."""
    return in_threads(work, ranks.parts()) if len(ranks.row_queries) > ROWS_FOR_THREADS else map(work, ranks.parts())


def _indexes(ranks: Ranks, languages: Sequence[str]) -> list[int]:
    return [ranks.language_index(language) for language in languages]


def _sum_score(score: BiasScore, pool: PoolRanks, listed: NDArray[np.int64], sample: ClusterSample) -> ScoreSums:
    assert score.contributions is not None
    contributions = score.contributions(pool)
    value, rows = summarise(score, contributions)
    columns = contributions[:, None] if contributions.ndim == 1 else contributions
    known = np.isfinite(columns)
    sums, counts = sample.sum_within(columns[:, known.any(axis=0)], np.arange(len(columns)))
    return ScoreSums(
        value=np.nan if value is None else value,
        sums=sums,
        counts=counts,
        n_topics=int(known.any(axis=1).sum()),
        rows=rows,
        references=score.references(pool),
        unretrieved=pool.unlisted_share,
        listed=listed,
    )


def has_pool(ranks: Ranks) -> bool:
    """Say whether the ranks tell how documents of several languages stand to each other in the pool of all."""
    pools = (ranks.spoken_languages, *([(IMAGE,)] if ranks.has_images else []))
    return len(ranks.spoken_languages) > 1 and all(can_answer(ranks, pool) for pool in pools)


def translation_pools(ranks: Ranks, *, native: bool = True) -> dict[str, PoolRanks]:
    """Return the pools that bias scores are computed on, by what they compare (see `BiasScore`).

    They are one, that of all languages; with captioned images, queries are compared on the pool of the images. All
    relevant documents, which scores of `native` documents need, are left out without it.
    """
    documents = _pool_ranks(ranks, ranks.spoken_languages, axis=2)
    if not ranks.has_images:
        # Ranks that were restricted to fewer languages have no lists.
        lists = _top_of_pool(ranks) if ranks.top.shape[1] else None
        documents = replace(documents, relevant=_relevant_in_pool(ranks) if native else None, lists=lists)
        return {"documents": documents, "queries": documents}
    return {"documents": documents, "queries": _pool_ranks(ranks, (IMAGE,), axis=1)}


def _pool_ranks(ranks: Ranks, languages: Sequence[str], *, axis: int) -> PoolRanks:
    """Return where each topic's best-ranked documents stand in the pool of `languages`.

    NaN for topics that have fewer than two languages on `axis`: 1 are queries, 2 are documents.
    """
    size, of_pool = len(ranks.languages), _indexes(ranks, languages)
    rank = np.full((len(ranks.topic_ids), size, size), np.inf)
    missing = np.zeros(rank.shape, dtype=np.bool_)
    n_documents = pool_counts(ranks.part(0, 0), languages).size - ranks.queries_are_documents

    def place(part: Ranks) -> None:
        """Put the ranks of the queries in one language where no other ones are."""
        counts = pool_counts(part, languages)
        # What is missing from the corpus is in no pool.
        held = np.isin(part.row_languages, of_pool) & (counts.unlisted | (counts.rank != UNRETRIEVED))
        position = np.where(held & ~counts.unlisted, counts.rank.astype(np.float64), np.inf)
        position, unlisted = _without_others(part, counts, position, held, _one_of_each(part, held), n_documents)
        query = part.query_topics[part.row_queries].astype(np.int64) * size + part.query_languages[part.row_queries]
        cells = query * size + part.row_languages
        np.minimum.at(rank.reshape(-1), cells, position)
        if unlisted.any():
            missing.reshape(-1)[cells[unlisted]] = True
            missing.reshape(-1)[cells[np.isfinite(position) & ~unlisted]] = False

    for _ in _in_parts(place, ranks):
        pass
    rank[np.isinf(rank)] = np.nan
    several = np.isfinite(rank).sum(axis=axis).max(axis=1, initial=0) >= 2
    rank[~several] = np.nan
    missing &= np.isfinite(rank)
    return PoolRanks(rank, n_documents, missing if missing.any() else None)


def _one_of_each(ranks: Ranks, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return bool (rows,): of the rows that are `held` in the pool, one for each query and language of documents.

    The best of five stands higher than the best of one whatever a model prefers. Captions are chosen from always, other
    documents where a query has more of them in one language than in another. The order of ids chooses, which knows
    nothing of ranks.
    """
    cell = ranks.row_queries.astype(np.int64) * len(ranks.languages) + ranks.row_languages
    if np.bincount(cell).max(initial=0) < 2:
        return held
    order = np.lexsort((ranks.row_documents, ~held, cell))
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = np.diff(cell[order]) != 0
    chosen = np.zeros(len(order), dtype=np.bool_)
    chosen[order[first]] = True
    if ranks.has_images:
        return chosen & held
    counts = np.bincount(cell[held], minlength=len(ranks.query_topics) * len(ranks.languages))
    counts = counts.reshape(-1, len(ranks.languages))
    uneven = ((counts > 0) & (counts != counts.max(axis=1, keepdims=True))).any(axis=1)
    one_of_each: NDArray[np.bool_] = held & (chosen | ~uneven[ranks.row_queries])
    return one_of_each


def _without_others(
    ranks: Ranks,
    counts: PoolCounts,
    position: Floats,
    held: NDArray[np.bool_],
    chosen: NDArray[np.bool_],
    n_documents: int,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the positions of the chosen rows as if the others that are held were not in the pool, and the unlisted.

    With h documents listed of N, the i-th of u that are not stands at its expected rank h + i (N - h + 1) / (u + 1).
    Rows that are not chosen get an infinite position. All arrays are (rows,).
    """
    queries, n_queries = ranks.row_queries, len(ranks.query_topics)
    others = held & ~chosen

    def count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(queries[mask], minlength=n_queries)[queries]

    before = np.zeros(len(queries))
    if others.any():
        by_rank = np.lexsort((position, queries))
        counted = np.cumsum(others[by_rank])
        begins = np.searchsorted(queries[by_rank], queries[by_rank])
        before[by_rank] = counted - np.concatenate(([0], counted))[begins]
    found = np.where(chosen, position - before, np.inf)
    unlisted = chosen & counts.unlisted
    if unlisted.any():
        h = counts.listed[queries] - count(others & ~counts.unlisted)
        n = n_documents - count(others)
        missing = np.cumsum(unlisted)
        # Rows are sorted by query.
        place: NDArray[np.int64] = missing - np.concatenate(([0], missing))[np.searchsorted(queries, queries)]
        spread = h + place * (n - h + 1) / (count(unlisted) + 1)
        found[unlisted] = spread[unlisted]
    return found, unlisted


def _language_sizes(ranks: Ranks) -> Floats:
    """Return how many documents each spoken language has, (languages,); 0 where that was not counted."""
    sizes = [ranks.column_of([language]) for language in ranks.spoken_languages]
    return np.array([0 if column is None else ranks.column_sizes[column] for column in sizes], dtype=np.float64)


def _random_share_range(ranks: Ranks, cutoff: int) -> float:
    """Return the mean range over languages of their shares in the top of random orders, asked by images; else NaN.

    The numbers of documents of each language in the top k of N are hypergeometric, and their sums over queries nearly
    normal: of a language with a share p of the pool they vary by k p (1 - p) (N - k) / (N - 1) for each query.
    """
    held = _language_sizes(ranks)
    size = held.sum()
    asked = 0
    if ranks.has_images and ranks.top.shape[1]:
        asked = int((ranks.top[ranks.query_languages == ranks.language_index(IMAGE), 0] >= 0).sum())
    if not asked or not held.all() or size <= cutoff:
        return float("nan")
    p = held / size
    spread = (np.diag(p) - np.outer(p, p)) * (size - cutoff) / (size - 1) / (asked * cutoff)
    return mean_range(spread / np.outer(p, p))


def _relevant_in_pool(ranks: Ranks) -> RelevantDocuments:
    """Return where all relevant documents stand in the pool of all languages; raises as `pool_counts` does.

    Of h listed documents out of N and u relevant ones that are not listed, the i-th of the latter stands at
    h + i (N - h + 1) / (u + 1). Their order is random, so that it is blind to language, and the same in every run.
    """
    counts = pool_counts(ranks, ranks.spoken_languages)
    spoken = [ranks.language_index(language) for language in ranks.spoken_languages]
    position = counts.rank.astype(np.float64)
    shuffled = np.random.RandomState(0).permutation(len(ranks.document_ids))[ranks.row_documents]
    rest = np.flatnonzero(counts.unlisted)
    rest = rest[np.lexsort((shuffled[rest], ranks.row_queries[rest]))]
    _, first, number = np.unique(ranks.row_queries[rest], return_index=True, return_counts=True)
    place = np.arange(len(rest)) - np.repeat(first, number) + 1
    listed = counts.listed[ranks.row_queries[rest]]
    position[rest] = listed + place * (counts.size - listed + 1) / (np.repeat(number, number) + 1)
    rows = np.flatnonzero(np.isin(ranks.row_languages, spoken) & (counts.unlisted | (counts.rank != UNRETRIEVED)))
    queries = ranks.row_queries[rows]
    return RelevantDocuments(
        topics=ranks.query_topics[queries].astype(np.int64),
        query_languages=ranks.query_languages[queries].astype(np.int64),
        documents=ranks.row_documents[rows].astype(np.int64),
        document_languages=ranks.row_languages[rows].astype(np.int64),
        grades=ranks.row_grades[rows].astype(np.int64),
        ranks=position[rows],
        n_topics=len(ranks.topic_ids),
        n_languages=len(ranks.languages),
    )


def _top_of_pool(ranks: Ranks) -> TopLists:
    """Return the top of each list over the pool of all languages; raises as `pool_counts` does."""
    size, depth = len(ranks.languages), ranks.top.shape[1]
    documents = np.full((len(ranks.topic_ids), size, depth), -1, dtype=np.int64)
    documents[ranks.query_topics, ranks.query_languages] = ranks.top
    asked = np.zeros(documents.shape[:2], dtype=np.bool_)
    asked[ranks.query_topics, ranks.query_languages] = True
    first = np.zeros(documents.shape[:2], dtype=np.bool_)
    for part in ranks.parts():
        best = part.row_queries[pool_counts(part, ranks.spoken_languages).rank == 1]
        first[part.query_topics[best], part.query_languages[best]] = True
    return TopLists(
        documents=documents,
        languages=np.where(documents >= 0, ranks.document_languages[documents], -1).astype(np.int64),
        asked=asked,
        relevant_first=first,
        n_documents=pool_counts(ranks.part(0, 0), ranks.spoken_languages).size - ranks.queries_are_documents,
    )


def _language_shares(ranks: Ranks, cutoff: int) -> list[LanguageShare]:
    asking = (IMAGE,) if ranks.has_images else ranks.spoken_languages
    spoken = [ranks.language_index(language) for language in ranks.spoken_languages]
    size = len(ranks.languages)
    top = ranks.top[:, :cutoff]
    counts = np.zeros((size, size))
    asked = np.broadcast_to(ranks.query_languages[:, None], top.shape)
    np.add.at(counts, (asked[top >= 0], ranks.document_languages[top[top >= 0]]), 1)
    held = _language_sizes(ranks)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = (counts / counts.sum(axis=1, keepdims=True))[:, spoken] / (held / held.sum())
    return [
        LanguageShare(
            cutoff=cutoff,
            query_language=a,
            document_language=b,
            share=finite(shares[ranks.language_index(a), index]),
        )
        for a in asking
        for index, b in enumerate(ranks.spoken_languages)
    ]
