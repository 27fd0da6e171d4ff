"""Scores of one system with their intervals: the parts of a result document that follow from its ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.languages import IMAGE
from mlbench.io.threads import one_blas_thread
from mlbench.measures.bias import BiasScore, find_score
from mlbench.ranking.ranks import Ranks
from mlbench.results import (
    Aggregate,
    Bias,
    BiasResult,
    Bounds,
    CaptionScores,
    ImageText,
    LanguageShare,
    LanguageValue,
    SettingResult,
    Statistics,
)
from mlbench.statistics.bias import BiasSums, ScoreSums
from mlbench.statistics.captions import CAPTION_LIMITS
from mlbench.statistics.cluster_scores import ClusterScores, ScoreRequest, sum_by_cluster
from mlbench.statistics.clusters import FEW_CLUSTERS, finite
from mlbench.statistics.resampling import Bootstrap, Resamples
from mlbench.statistics.settings import QueryValues, group, limits_of, weighted_mean

Floats = NDArray[np.float64]

TIES_WORTH_A_WARNING = 0.01
"""The share of relevant documents that tie above which numbers carry a warning."""
_APPROXIMATE = "intervals and tests are approximate"
_AP = "AP"
_POOLED = ("multilingual", "text_to_image")


@dataclass(frozen=True, slots=True)
class Scores:
    """The parts of a result document that follow from the ranks alone."""

    settings: tuple[SettingResult, ...]
    aggregates: tuple[Aggregate, ...]
    bias: Bias | None
    image_text: ImageText | None
    statistics: Statistics


@one_blas_thread()
def score(ranks: Ranks, request: ScoreRequest, others: QueryValues | None = None) -> Scores:
    """Compute every number that `request` asks for; the same ranks give the same numbers to the bit.

    `others` are measures that do not follow from ranks, and stand among the rest. The bias is None with a single
    language, and where the pool of all languages was not ranked. Raises what `sum_by_cluster` raises.
    """
    sums = sum_by_cluster(ranks, request, others)
    drawn = sums.sample.resample(sums.settings.patterns)
    aggregates = _aggregates(sums, drawn)
    return Scores(
        settings=_setting_results(sums, drawn),
        aggregates=aggregates,
        bias=None if sums.bias is None else _bias(sums, sums.bias, aggregates),
        image_text=_image_text(sums) if sums.captions else None,
        statistics=describe_statistics(sums, drawn.redraws),
    )


def describe_statistics(sums: ClusterScores, redraws: int) -> Statistics:
    """Say how intervals were made, with how many `redraws` in the draw of the settings."""
    return Statistics(
        clustered_by=sums.cluster_unit,
        n_clusters=sums.sample.n_clusters,
        resamples=sums.request.resamples,
        seed=sums.request.seed,
        confidence=sums.request.confidence,
        redraws=redraws,
        warning=_warn_of_few_clusters(sums),
    )


def _warn_of_few_clusters(sums: ClusterScores) -> str | None:
    """Say where fewer than `FEW_CLUSTERS` make intervals and tests approximate; None where nothing is."""
    n_clusters = sums.sample.n_clusters
    by_setting = (sums.settings.patterns > 0).sum(axis=0)[sums.settings.pattern]
    few = int(((by_setting > 0) & (by_setting < FEW_CLUSTERS)).sum())
    if n_clusters < FEW_CLUSTERS:
        return f"only {n_clusters} cluster{'s' * (n_clusters != 1)} of topics: {_APPROXIMATE}"
    if few:
        about = f"{few} settings have" if few > 1 else "1 setting has"
        return f"{about} topics of fewer than {FEW_CLUSTERS} clusters: {_APPROXIMATE} there"
    return None


def replicate(score: BiasScore, drawn: Bootstrap) -> Floats:
    """Return a bias score's value in each resample of its `ScoreSums`, (resamples, ...)."""
    return drawn.macro_mean() if score.over_languages == "mean" else np.ptp(drawn.ratios, axis=1)


def _setting_results(scores: ClusterScores, drawn: Resamples) -> tuple[SettingResult, ...]:
    """Return every setting with its measures, and the interval of the primary one."""
    sums, primary = scores.settings, scores.request.primary_measure
    means = sums.means[:, sums.measures.index(primary)]
    bounds = scores.sample.bounds_of_settings(
        means, drawn, sums.primary, sums.patterns, sums.pattern, limits_of([primary])
    )
    return tuple(
        SettingResult(
            kind=setting.kind,
            query_language=setting.query_language,
            document_languages=setting.document_languages,
            n_queries=int(sums.n_queries[index]),
            n_documents=int(sums.pool_sizes[index]),
            tied_share=finite(sums.tied[index]),
            unretrieved_share=finite(sums.unretrieved[index]),
            measures=_named(sums.measures, sums.means[index]),
            intervals={primary: bounds[index]},
        )
        for index, setting in enumerate(sums.settings)
    )


def _aggregates(scores: ClusterScores, drawn: Resamples) -> tuple[Aggregate, ...]:
    """Return for each kind its macro and micro mean, and the macro and micro mean of each query language."""
    sums, sample = scores.settings, scores.sample
    groups = list(group(sums.settings))
    if not groups:
        return ()
    cells = [np.unique(sums.cell[chosen], return_counts=True) for *_, chosen in groups]
    total = np.stack([sums.totals[:, own].sum(axis=1) for own, _ in cells], axis=1)
    count = np.stack([sums.cell_counts[:, own] @ sizes for own, sizes in cells], axis=1)
    pooled, by_cell = sample.bootstrap(total, count), sums.replicates(drawn)
    aggregates = []
    for index, (kind, language, chosen) in enumerate(groups):
        weights, counts = sums.n_queries[chosen].astype(np.float64), sums.counts_of(chosen)
        present = np.asarray(chosen)[weights > 0]
        for aggregation in ("macro", "micro"):
            macro = aggregation == "macro"
            replicates = sums.macro_replicates(by_cell, chosen) if macro else pooled.ratios[:, index]
            shares = np.ones(len(present)) if macro else weights[weights > 0]
            means = weighted_mean(sums.means[present], shares)
            bounds = sample.bounds(means, replicates, counts, limits_of(sums.measures))
            aggregates.append(
                Aggregate(
                    kind=kind,
                    aggregation="macro" if macro else "micro",
                    query_language=language,
                    n_settings=len(chosen),
                    n_queries=int(weights.sum()),
                    measures=_named(sums.measures, means),
                    intervals=dict(zip(sums.measures, bounds, strict=True)),
                    ceilings=_named(sums.measures, weighted_mean(sums.ceilings[present], shares)),
                )
            )
    return tuple(aggregates)


def _bias(scores: ClusterScores, sums: BiasSums, aggregates: Sequence[Aggregate]) -> Bias:
    """Return the bias scores that were asked for, and what they were computed on."""
    derived = {
        name: found.model_copy(update={"unretrieved_share": sums.unretrieved})
        for name, found in _derived(scores, sums, aggregates).items()
    }
    return Bias(
        document_languages=sums.languages,
        n_topics=sums.n_topics,
        n_documents=sums.n_documents,
        warning=_ties_warning(sums),
        scores=tuple(
            derived.get(name) or _bias_result(name, scores, sums.scores.get(name))
            for name in scores.request.suited_bias_scores
        ),
        language_shares=sums.shares,
    )


def _ties_warning(sums: BiasSums) -> str | None:
    if np.isnan(sums.tied):
        return (
            "it is unknown how many relevant documents tie with another document: "
            "the lists have no scores, or end too early to tell"
        )
    if sums.tied <= TIES_WORTH_A_WARNING:
        return None
    tied = f"{sums.tied:.1%} of the relevant documents tie with another document: "
    if sums.collapsed:
        return tied + "all documents of each list have the same score, and the order of ids alone decides the bias"
    return tied + "the order of ids decides part of the bias"


def _bias_result(name: str, scores: ClusterScores, sums: ScoreSums | None) -> BiasResult:
    if sums is None:
        return BiasResult(name=name, value=None)
    score, sample = find_score(name), scores.sample
    interval = None
    if np.isfinite(sums.value) and score.over_topics == "mean":
        replicates = replicate(score, sample.bootstrap(sums.sums, sums.counts))
        interval = sample.bounds(np.array([sums.value]), replicates[:, None], sums.counts, score.limits)[0]
    return BiasResult(
        name=name,
        value=finite(sums.value),
        interval=interval,
        unretrieved_share=sums.unretrieved,
        references=sums.references,
        rows_by=score.rows,
        rows=_rows(scores.languages, score, sums.rows),
    )


def _rows(languages: Sequence[str], score: BiasScore, rows: Floats) -> tuple[LanguageValue, ...]:
    """Return the values of the languages that a score's rows are about; an image has none but `IMAGE`."""
    shown = list(languages)
    if IMAGE in shown:
        shown = [IMAGE] if score.rows == "query_language" else [language for language in shown if language != IMAGE]
    return tuple(
        LanguageValue(language=language, value=finite(rows[languages.index(language)]))
        for language in (shown if len(rows) else ())
    )


def _derived(scores: ClusterScores, sums: BiasSums, aggregates: Sequence[Aggregate]) -> dict[str, BiasResult]:
    """Return the scores that follow from aggregates, or from the top of the lists."""
    derived, shares = {}, sums.shares
    for cutoff in sorted({share.cutoff for share in shares}):
        own = [s for s in shares if s.cutoff == cutoff and s.query_language in (s.document_language, IMAGE)]
        if own and own[0].query_language == IMAGE:
            derived[f"language_share@{cutoff}"] = _range_of_shares(cutoff, own, sums.random_share_ranges[cutoff])
            continue
        derived[f"language_share@{cutoff}"] = BiasResult(
            name=f"language_share@{cutoff}",
            value=_mean([share.share for share in own]),
            references=_constants(f"language_share@{cutoff}"),
            rows_by="query_language",
            rows=tuple(LanguageValue(language=share.query_language, value=share.share) for share in own),
        )
    macro = [a for a in aggregates if a.aggregation == "macro" and a.measures.get(_AP) is not None]
    by_language = {a.query_language: a.measures[_AP] or 0.0 for a in macro if a.kind in _POOLED and a.query_language}
    random = {
        (kind, language): float(np.nanmean(scores.settings.random_ap[chosen]))
        for kind, language, chosen in group(scores.settings.settings)
        if np.isfinite(scores.settings.random_ap[chosen]).any()
    }
    if by_language:
        lowest, highest = min(by_language.values()), max(by_language.values())
        derived["worst_language"] = BiasResult(
            name="worst_language",
            value=lowest,
            references={
                **_constants("worst_language"),
                "chance": min(
                    random[a.kind, a.query_language] for a in macro if a.kind in _POOLED and a.query_language
                ),
                "ratio_to_best": lowest / highest if highest else None,
            },
            rows_by="query_language",
            rows=tuple(LanguageValue(language=language, value=value) for language, value in by_language.items()),
        )
    whole = {a.kind: a.measures[_AP] or 0.0 for a in macro if a.query_language is None}
    if "monolingual" in whole and "cross_lingual" in whole:
        derived["transfer_gap"] = BiasResult(
            name="transfer_gap",
            value=whole["monolingual"] - whole["cross_lingual"],
            references={
                **_constants("transfer_gap"),
                "chance": random["monolingual", None] - random["cross_lingual", None],
            },
        )
    return derived


def _constants(name: str) -> dict[str, float | None]:
    """Return ideal and chance of a score as far as they are the same for all topics."""
    score = find_score(name)
    return {key: value for key, value in (("ideal", score.ideal), ("chance", score.chance)) if isinstance(value, float)}


def _range_of_shares(cutoff: int, shares: Sequence[LanguageShare], random: float) -> BiasResult:
    """Return how far apart the shares of caption languages are that images find: no language is an image's own."""
    known = [each.share for each in shares if each.share is not None]
    return BiasResult(
        name=f"language_share@{cutoff}",
        value=max(known) - min(known) if known else None,
        references={"ideal": 0.0, "chance": finite(random)},
        rows_by="document_language",
        rows=tuple(LanguageValue(language=each.document_language, value=each.share) for each in shares),
    )


def _image_text(scores: ClusterScores) -> ImageText:
    """Return the scores of each language's captions, and their means."""
    found = {name: (sums.values, sums.replicates(scores.sample)) for name, sums in scores.captions.items()}
    languages = list(scores.n_captions)

    def mean_over(language: str | None, chosen: Sequence[int]) -> CaptionScores:
        means: dict[str, float | None] = {}
        intervals: dict[str, Bounds | None] = {}
        for name, (values, replicates) in found.items():
            present = [index for index in chosen if np.isfinite(values[index])]
            means[name] = float(values[present].mean()) if present else None
            intervals[name] = None
            if present:
                mean, counts = values[present].mean(), scores.captions[name].counts_of(present)
                drawn = replicates[:, present].mean(axis=1)[:, None]
                intervals[name] = scores.sample.bounds(np.array([mean]), drawn, counts, CAPTION_LIMITS[name])[0]
        n_captions = sum(scores.n_captions[languages[index]] for index in chosen)
        return CaptionScores(language=language, n_captions=n_captions, intervals=intervals, **means)

    return ImageText(
        languages=tuple(mean_over(language, [index]) for index, language in enumerate(languages)),
        mean=mean_over(None, range(len(languages))),
    )


def _named(names: Sequence[str], values: Floats) -> dict[str, float | None]:
    return {name: finite(value) for name, value in zip(names, values, strict=True)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
