"""Language bias in the ranks of one system: each topic's contributions to the scores, summed within clusters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE
from mlbench.measures.bias import BiasScore, PoolRanks, find_score, summarise
from mlbench.measures.ranked import UNRETRIEVED
from mlbench.ranking.ranks import PoolCounts, Ranks, can_answer, pool_counts
from mlbench.results import LanguageShare
from mlbench.statistics.clusters import ClusterSample, finite

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """A score of one system, with its contributions summed within clusters.

    `value` is NaN where no topic has the score. `rows` float64 (languages,) are its values by language, empty for a
    score without rows; `references` are its floor and chance level over the same topics. `sums` and `counts` are
    float64 (clusters, columns): columns are languages, or settings of each language.
    """

    value: float
    sums: Floats
    counts: Floats
    n_topics: int
    rows: Floats
    references: dict[str, float | None]


@dataclass(frozen=True, eq=False)
class BiasSums:
    """The multilingual pool of one system: what bias scores are computed on, and those that come topic by topic.

    `tied` is the share of the relevant documents that tie with another document, NaN where that is not known;
    `collapsed` says that whole lists tie (see `Ranks.is_collapsed`). `shares` are those of the languages in
    the top of the lists, for the scores `language_share@k` that were asked for.
    """

    languages: tuple[str, ...]
    n_topics: int
    n_documents: int
    tied: float
    collapsed: bool
    scores: dict[str, ScoreSums]
    shares: tuple[LanguageShare, ...]


def sum_bias(ranks: Ranks, names: Sequence[str], sample: ClusterSample) -> BiasSums:
    """Return the contributions to the bias scores called `names`; raises `UnknownName`.

    With captioned images, they are those of the pool of all captions, asked by images; only `rank_spread` is about
    images, asked by captions in several languages. Scores that follow from other numbers are not among `scores`.
    """
    languages = ranks.spoken_languages
    pools = translation_pools(ranks)
    counts = pool_counts(ranks, languages)
    ranked = (counts.rank < UNRETRIEVED) & np.isin(ranks.row_languages, [ranks.language_index(a) for a in languages])
    # Comparisons test it wherever there is a rank distance, whether or not a result shows it.
    more = ("rank_distance_log2",) if "rank_distance" in names else ()
    scores = {name: find_score(name) for name in (*names, *more)}
    cutoffs = [int(name.partition("@")[2]) for name in names if name.startswith("language_share@")]
    return BiasSums(
        languages=tuple(languages),
        n_topics=int(np.isfinite(pools["documents"].rank).any(axis=(1, 2)).sum()),
        n_documents=pools["documents"].pool_size,
        tied=counts.tied_share(ranked) if ranked.any() else 0.0,
        collapsed=ranks.is_collapsed,
        scores={
            name: _sum_score(score, pools[score.compares], sample)
            for name, score in scores.items()
            if score.contributions is not None
        },
        shares=tuple(share for cutoff in cutoffs for share in _language_shares(ranks, cutoff)),
    )


def _sum_score(score: BiasScore, pool: PoolRanks, sample: ClusterSample) -> ScoreSums:
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
        references={key: summarise(score, reference(pool))[0] for key, reference in score.references.items()},
    )


def has_pool(ranks: Ranks, parallel: bool) -> bool:
    """Say whether the ranks tell how translations stand to each other in the pool of all languages."""
    return parallel and len(ranks.spoken_languages) > 1 and can_answer(ranks, ranks.spoken_languages)


def translation_pools(ranks: Ranks) -> dict[str, PoolRanks]:
    """Return the pools that bias scores are computed on, by what they compare (see `BiasScore`).

    They are one, that of all languages; with captioned images, queries are compared on the pool of the images.
    """
    documents = _pool_ranks(ranks, ranks.spoken_languages, axis=2)
    if not ranks.has_images:
        return {"documents": documents, "queries": documents}
    return {"documents": documents, "queries": _pool_ranks(ranks, (IMAGE,), axis=1)}


def _pool_ranks(ranks: Ranks, languages: Sequence[str], *, axis: int) -> PoolRanks:
    """Return where each topic's best-ranked documents stand in the pool of `languages`.

    NaN for topics that have fewer than two languages on `axis`: 1 are queries, 2 are documents. Documents that a
    ranker did not list stand at the expected rank of the worst of them.
    """
    counts = pool_counts(ranks, languages)
    size = len(ranks.languages)
    rank = np.full((len(ranks.topic_ids), size, size), np.inf)
    position = np.where(counts.rank == UNRETRIEVED, np.inf, counts.rank.astype(np.float64))
    n_documents = counts.size - ranks.queries_are_documents
    position[counts.unlisted] = _expected_worst(ranks, counts, n_documents)[counts.unlisted]
    position[~np.isin(ranks.row_languages, [ranks.language_index(language) for language in languages])] = np.inf
    if ranks.has_images:
        position = _one_of_each(ranks, position)
    queries = ranks.row_queries
    np.minimum.at(rank, (ranks.query_topics[queries], ranks.query_languages[queries], ranks.row_languages), position)
    rank[np.isinf(rank)] = np.nan
    several = np.isfinite(rank).sum(axis=axis).max(axis=1, initial=0) >= 2
    rank[~several] = np.nan
    return PoolRanks(rank, n_documents)


def _one_of_each(ranks: Ranks, position: Floats) -> Floats:
    """Return the positions with one caption of each image and language left, as if its others were not in the pool.

    The best of five stands higher than the best of one whatever a model prefers. Ids choose blindly, as they begin with
    digits of a hash; the others get an infinite position.
    """
    same = np.stack([ranks.row_queries.astype(np.int64), ranks.row_languages, ranks.row_documents], axis=1)
    order = np.lexsort(same.T[::-1])
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (np.diff(same[order, :2], axis=0) != 0).any(axis=1)
    chosen = np.zeros(len(order), dtype=np.bool_)
    chosen[order[first]] = True
    by_rank = np.lexsort((position, ranks.row_queries))
    others = np.cumsum(~chosen[by_rank])
    begins = np.searchsorted(ranks.row_queries[by_rank], ranks.row_queries[by_rank])
    before = np.empty(len(order))
    before[by_rank] = others - np.concatenate(([0], others))[begins]
    return np.where(chosen, position - before, np.inf)


def _expected_worst(ranks: Ranks, counts: PoolCounts, n_documents: int) -> Floats:
    """Return for each row h + u (N - h + 1) / (u + 1): h documents listed, u relevant ones not, N in the pool."""
    unlisted = np.bincount(ranks.row_queries, weights=counts.unlisted, minlength=len(ranks.query_topics))
    listed = counts.listed.astype(np.float64)
    expected = listed + unlisted * (n_documents - listed + 1) / (unlisted + 1)
    by_row: Floats = expected[ranks.row_queries]
    return by_row


def _language_shares(ranks: Ranks, cutoff: int) -> list[LanguageShare]:
    asking = (IMAGE,) if ranks.has_images else ranks.spoken_languages
    spoken = [ranks.language_index(language) for language in ranks.spoken_languages]
    size = len(ranks.languages)
    top = ranks.top[:, :cutoff]
    counts = np.zeros((size, size))
    asked = np.broadcast_to(ranks.query_languages[:, None], top.shape)
    np.add.at(counts, (asked[top >= 0], ranks.document_languages[top[top >= 0]]), 1)
    sizes = [ranks.column_of([language]) for language in ranks.spoken_languages]
    held = np.array([0 if column is None else ranks.column_sizes[column] for column in sizes], dtype=np.float64)
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
