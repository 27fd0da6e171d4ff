"""Bias scores of the multilingual pool, from the ranks of each topic's translations."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE
from mlbench.errors import UnknownName
from mlbench.measures.bias import BIAS_SCORES, BiasScore, PoolRanks, summarise
from mlbench.measures.ranked import UNRETRIEVED
from mlbench.ranking.ranks import PoolCounts, Ranks, can_answer, pool_counts
from mlbench.results import Aggregate, Bias, BiasResult, Bounds, LanguageShare, LanguageValue
from mlbench.statistics.resampling import Bootstrap
from mlbench.statistics.settings import ClusterSample

Floats = NDArray[np.float64]
_TIES_WORTH_A_WARNING = 0.01
_AP = "AP"


def score_bias(ranks: Ranks, names: Sequence[str], aggregates: Sequence[Aggregate], sample: ClusterSample) -> Bias:
    """Return the bias scores called `names`, and what they were computed on; raises `UnknownName`.

    With captioned images, they are those of the pool of all captions, asked by images; only `rank_spread` is about
    images, asked by captions in several languages.
    """
    languages = ranks.spoken_languages
    counts = pool_counts(ranks, languages)
    pools = translation_pools(ranks)
    pool = pools["documents"]
    scores = [_score(name, pools, ranks, sample) for name in names]
    cutoffs = [int(name.partition("@")[2]) for name in names if name.startswith("language_share@")]
    shares = [share for cutoff in cutoffs for share in _language_shares(ranks, cutoff)]
    derived = _derived(aggregates, shares)
    ties = counts.ties[np.isin(ranks.row_languages, [ranks.language_index(language) for language in languages])]
    tied = float((ties > 0).mean()) if len(ties) else 0.0
    return Bias(
        document_languages=tuple(languages),
        n_topics=int(np.isfinite(pool.rank).any(axis=(1, 2)).sum()),
        n_documents=pool.pool_size,
        warning=(
            f"{tied:.1%} of the relevant documents tie with another document: the order of ids decides part of the bias"
            if tied > _TIES_WORTH_A_WARNING
            else None
        ),
        scores=tuple(derived.get(name) or score for name, score in zip(names, scores, strict=True)),
        language_shares=tuple(shares),
    )


def find_score(name: str) -> BiasScore:
    """Return the bias score called `name`; raises `UnknownName`."""
    if name not in BIAS_SCORES:
        raise UnknownName("bias score", name, BIAS_SCORES)
    return BIAS_SCORES[name]


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


def _score(name: str, pools: Mapping[str, PoolRanks], ranks: Ranks, sample: ClusterSample) -> BiasResult:
    score = find_score(name)
    if score.contributions is None:
        return BiasResult(name=name, value=None)
    pool = pools[score.compares]
    contributions = score.contributions(pool)
    value, rows = summarise(score, contributions)
    return BiasResult(
        name=name,
        value=value,
        interval=None if value is None else _interval(score, contributions, sample),
        references={key: summarise(score, reference(pool))[0] for key, reference in score.references.items()},
        rows_by=score.rows,
        rows=_rows(ranks, score, rows),
    )


def _interval(score: BiasScore, contributions: Floats, sample: ClusterSample) -> Bounds | None:
    if score.over_topics == "median":
        return None
    replicates = replicate(score, sample.bootstrap(*sum_contributions(contributions, sample)))
    return sample.bounds(replicates[:, None])[0]


def sum_contributions(contributions: Floats, sample: ClusterSample) -> tuple[Floats, Floats]:
    """Sum a score's contributions within clusters, and count the topics: both float64 (clusters, languages with any).

    A score that is a mean over topics alone has one column.
    """
    columns = contributions[:, None] if contributions.ndim == 1 else contributions
    columns = columns[:, np.isfinite(columns).any(axis=0)]
    return sample.sum_within(columns, np.arange(len(columns)))


def replicate(score: BiasScore, drawn: Bootstrap) -> Floats:
    """Return the score's value in each resample of what `sum_contributions` gives, (resamples, ...)."""
    return drawn.macro_mean() if score.over_languages == "mean" else np.ptp(drawn.ratios, axis=1)


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
            share=_number(shares[ranks.language_index(a), place]),
        )
        for a in asking
        for place, b in enumerate(ranks.spoken_languages)
    ]


def _derived(aggregates: Sequence[Aggregate], shares: Sequence[LanguageShare]) -> dict[str, BiasResult]:
    """Return the scores that follow from aggregates, or from the top of the lists."""
    derived = {}
    for cutoff in sorted({share.cutoff for share in shares}):
        own = [s for s in shares if s.cutoff == cutoff and s.query_language in (s.document_language, IMAGE)]
        if own and own[0].query_language == IMAGE:
            derived[f"language_share@{cutoff}"] = _range_of_shares(cutoff, own)
            continue
        derived[f"language_share@{cutoff}"] = BiasResult(
            name=f"language_share@{cutoff}",
            value=_mean([share.share for share in own]),
            references={"chance": 1.0},
            rows_by="query_language",
            rows=tuple(LanguageValue(language=share.query_language, value=share.share) for share in own),
        )
    macro = [a for a in aggregates if a.aggregation == "macro" and a.measures.get(_AP) is not None]
    by_language = {
        a.query_language: a.measures[_AP] or 0.0
        for a in macro
        if a.kind in ("multilingual", "text_to_image") and a.query_language
    }
    if by_language:
        lowest, highest = min(by_language.values()), max(by_language.values())
        derived["worst_language"] = BiasResult(
            name="worst_language",
            value=lowest,
            references={"ratio_to_best": lowest / highest if highest else None},
            rows_by="query_language",
            rows=tuple(LanguageValue(language=language, value=value) for language, value in by_language.items()),
        )
    whole = {a.kind: a.measures[_AP] or 0.0 for a in macro if a.query_language is None}
    if "monolingual" in whole and "cross_lingual" in whole:
        derived["transfer_gap"] = BiasResult(name="transfer_gap", value=whole["monolingual"] - whole["cross_lingual"])
    return derived


def _range_of_shares(cutoff: int, shares: Sequence[LanguageShare]) -> BiasResult:
    """Return how far apart the shares of caption languages are that images find: no language is an image's own."""
    known = [each.share for each in shares if each.share is not None]
    return BiasResult(
        name=f"language_share@{cutoff}",
        value=max(known) - min(known) if known else None,
        references={"floor": 0.0},
        rows_by="document_language",
        rows=tuple(LanguageValue(language=each.document_language, value=each.share) for each in shares),
    )


def _rows(ranks: Ranks, score: BiasScore, rows: Floats) -> tuple[LanguageValue, ...]:
    """Return the values of the languages that a score's rows are about; an image has none but `IMAGE`."""
    shown = ranks.languages.tolist()
    if ranks.has_images:
        shown = [IMAGE] if score.rows == "query_language" else list(ranks.spoken_languages)
    return tuple(
        LanguageValue(language=language, value=_number(rows[ranks.language_index(language)]))
        for language in (shown if len(rows) else ())
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
