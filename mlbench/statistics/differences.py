"""Differences of two systems on one task, from their ranks alone, with intervals and what each cluster adds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlbench.collection.languages import IMAGE, Kind, Setting
from mlbench.errors import UserError
from mlbench.measures.bias import summarise
from mlbench.ranking.ranks import Ranks
from mlbench.results import Bounds, Statistics
from mlbench.statistics.bias import find_score, has_pool, replicate, sum_contributions, translation_pools
from mlbench.statistics.captions import sum_captions
from mlbench.statistics.resampling import Bootstrap, macro_contributions
from mlbench.statistics.score import ScoreRequest
from mlbench.statistics.settings import ClusterSample, SettingSums, group, sum_settings

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoreSums:
    """A score of one system: its value, and float64 (clusters, columns) sums and counts of its contributions.

    Columns are languages, or settings of each language.
    """

    value: float
    sums: Floats
    counts: Floats
    n_topics: int


@dataclass(frozen=True, eq=False)
class ClusterScores:
    """What one ranks file says, summed within clusters; compared with others of the same `request` and `data`.

    `asked` bool (topics, settings) says which topics have a query and a relevant document in a setting. `data` names
    what was measured on, aspect by aspect, with its digest. `captions` are the scores of captioned images, which are
    means of their columns; empty for texts.
    """

    request: ScoreRequest
    unit: str
    sample: ClusterSample
    settings: SettingSums
    asked: NDArray[np.bool_]
    bias: Mapping[str, ScoreSums]
    captions: Mapping[str, ScoreSums]
    data: Mapping[str, str]


def sum_by_cluster(ranks: Ranks, request: ScoreRequest) -> ClusterScores:
    """Compute what comparisons of these ranks need; raises `UserError` for settings that they cannot answer."""
    sample = ClusterSample.of(ranks, request.resamples, request.seed, request.confidence, request.parallel)
    settings = sum_settings(ranks, request.settings, request.measures, sample)
    return ClusterScores(
        request=request,
        unit=str(ranks.cluster_unit[0]),
        sample=sample,
        settings=settings,
        asked=_asked(ranks, request.settings),
        bias=_bias_sums(ranks, request.bias_scores, sample) if has_pool(ranks, request.parallel) else {},
        captions=_caption_sums(ranks, request.settings, sample),
        data=describe_data(ranks, settings.pool_sizes),
    )


def _bias_sums(ranks: Ranks, names: Sequence[str], sample: ClusterSample) -> dict[str, ScoreSums]:
    """Sum the bias scores that are computed topic by topic; those made of other numbers are left to their readers."""
    wanted = [*names, "rank_distance_log2"] if "rank_distance" in names else names
    pools = translation_pools(ranks)
    found = {}
    for name in dict.fromkeys(wanted):
        score = find_score(name)
        if score.contributions is None:
            continue
        contributions = score.contributions(pools[score.compares])
        value, _ = summarise(score, contributions)
        found[name] = ScoreSums(
            np.nan if value is None else value,
            *sum_contributions(contributions, sample),
            n_topics=int(np.isfinite(contributions.reshape(len(contributions), -1)).any(axis=1).sum()),
        )
    return found


def _caption_sums(ranks: Ranks, settings: Sequence[Setting], sample: ClusterSample) -> dict[str, ScoreSums]:
    topics = np.unique(ranks.query_topics[ranks.row_queries])
    return {
        name: ScoreSums(float(macro_contributions(sums, counts).sum()), sums, counts, n_topics=len(topics))
        for name, (sums, counts) in sum_captions(ranks, settings, sample).items()
    }


def _asked(ranks: Ranks, settings: Sequence[Setting]) -> NDArray[np.bool_]:
    size = len(ranks.languages)
    pairs = np.zeros((len(ranks.topic_ids), size, size), dtype=np.bool_)
    queries = ranks.row_queries
    pairs[ranks.query_topics[queries], ranks.query_languages[queries], ranks.row_languages] = True
    asked = np.zeros((len(pairs), len(settings)), dtype=np.bool_)
    for index, setting in enumerate(settings):
        documents = [ranks.language_index(language) for language in setting.document_languages]
        asked[:, index] = pairs[:, ranks.language_index(setting.query_language), documents].any(axis=1)
    return asked


def describe_data(ranks: Ranks, pool_sizes: NDArray[np.int64]) -> dict[str, str]:
    """Return digests of what was measured on, aspect by aspect; `pool_sizes` (settings,) are numbers of documents."""
    documents = ranks.document_ids[ranks.row_documents]
    aspects = {
        "languages": (ranks.languages,),
        "topics": (ranks.topic_ids,),
        "clusters": (ranks.cluster_unit, ranks.topic_clusters),
        "queries": (ranks.query_topics, ranks.query_languages),
        "relevant documents": (ranks.row_queries, documents, ranks.row_languages, ranks.row_grades),
        "numbers of documents": (pool_sizes,),
    }
    return {
        aspect: sha256(repr([a.tolist() for a in arrays]).encode()).hexdigest() for aspect, arrays in aspects.items()
    }


System = Sequence[ClusterScores]
Family = Literal["aggregates", "query_languages", "settings"]
FAMILIES: tuple[Family, ...] = get_args(Family)
TESTED_BIAS_SCORES = ("own_language_preference", "rank_distance", "rank_distance_log2")
"""The bias scores that are tested in every comparison, among the aggregates."""


class Subject(BaseModel):
    """What is compared: a measure or score called `name`, over all settings of a kind, over those that ask in one
    language, or in a single setting (which has `document_languages`). A bias score, or one of captions, has no kind.

    Where images ask, a row of the family of query languages is about one language of captions: `document_languages`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: Family
    name: str
    kind: Kind | None = None
    query_language: str | None = None
    document_languages: tuple[str, ...] | None = None

    @property
    def language(self) -> str | None:
        """The language that a row is about: that of the queries, or that of the captions which images ask for."""
        if self.query_language != IMAGE:
            return self.query_language
        return self.document_languages[0] if self.document_languages and len(self.document_languages) == 1 else None


def row_subject(name: str, kind: Kind | None, language: str | None) -> Subject:
    """Return what is compared in the row of a measure, a kind and a language."""
    if kind == "image_to_text" and language is not None:
        return Subject(
            family="query_languages", name=name, kind=kind, query_language=IMAGE, document_languages=(language,)
        )
    return Subject(family="query_languages", name=name, kind=kind, query_language=language)


@dataclass(frozen=True, eq=False)
class Contributions:
    """What each cluster adds to a difference (`added`), and to one of 1 (`shares`); both float64 (clusters,)."""

    added: Floats
    shares: Floats


@dataclass(frozen=True, eq=False)
class Difference:
    """One difference, candidate minus base.

    `base` and `candidate` float64 (seeds,) are the values of the single ranks files, NaN without topics.
    `contributions` sum to the difference; None where there are no topics, and for a bias score that is no mean.
    """

    subject: Subject
    base: Floats
    candidate: Floats
    interval: Bounds | None
    n_topics: int
    n_clusters: int
    contributions: Contributions | None = None

    @property
    def difference(self) -> float:
        """The mean over candidate seeds minus the mean over base seeds."""
        return float(self.candidate.mean() - self.base.mean())


@dataclass(frozen=True, eq=False)
class Differences:
    """All differences of two systems, of how many training seeds they are, and how their intervals were made."""

    each: tuple[Difference, ...]
    primary_measure: str
    n_base: int
    n_candidate: int
    statistics: Statistics

    @property
    def tested(self) -> dict[Subject, Contributions]:
        """What every comparison tests: the primary measure everywhere, and `TESTED_BIAS_SCORES`."""
        names = {self.primary_measure, *TESTED_BIAS_SCORES}
        found = ((each.subject, each.contributions) for each in self.each if each.subject.name in names)
        return {subject: contributions for subject, contributions in found if contributions is not None}


def find_differences(base: System, candidate: System) -> Differences:
    """Compare two systems, one observation for each training seed.

    Intervals are percentiles of a cluster bootstrap of the difference, one draw for both systems and all settings. Bias
    scores are there that both have. Raises `UserError` where there is nothing to compare, or where the observations
    are not of the same data and request.
    """
    _check(base, candidate)
    first = base[0]
    request, sample = first.request, first.sample
    change = _mean_sums(candidate) - _mean_sums(base)
    drawn = sample.bootstrap(change, first.settings.counts)
    in_settings = [
        each for cut in _cuts(request.settings) for each in _contrast_cut(*cut, change, drawn, (base, candidate))
    ]
    shared = [name for name in first.bias if all(name in one.bias for one in (*base, *candidate))]
    in_bias = [_contrast_bias(name, base, candidate) for name in shared]
    in_captions = [
        _contrast_captions(name, base, candidate)
        for name in first.captions
        if all(name in one.captions for one in (*base, *candidate))
    ]
    return Differences(
        each=tuple(sorted((*in_settings, *in_bias, *in_captions), key=lambda one: FAMILIES.index(one.subject.family))),
        primary_measure=request.primary_measure,
        n_base=len(base),
        n_candidate=len(candidate),
        statistics=Statistics(
            clustered_by=first.unit,
            n_clusters=sample.n_clusters,
            resamples=request.resamples,
            seed=request.seed,
            confidence=request.confidence,
            redraws=drawn.redraws,
        ),
    )


def _contrast_cut(
    subject: Subject, chosen: list[int], change: Floats, drawn: Bootstrap, systems: tuple[System, System]
) -> Iterator[Difference]:
    """Yield the contrast of each measure over the `chosen` settings; `change` (clusters, settings, measures)."""
    first = systems[0][0]
    counts = first.settings.counts[:, chosen]
    bounds = first.sample.bounds(drawn.macro_mean(chosen))
    base, candidate = (np.stack([one.settings.macro_mean(chosen) for one in system]) for system in systems)
    for index, measure in enumerate(first.request.measures):
        yield Difference(
            subject=subject.model_copy(update={"name": measure}),
            base=base[:, index],
            candidate=candidate[:, index],
            interval=bounds[index],
            n_topics=int(first.asked[:, chosen].any(axis=1).sum()),
            n_clusters=int(counts.any(axis=1).sum()),
            contributions=_contributions(change[:, chosen, index], counts),
        )


def _check(base: System, candidate: System) -> None:
    if not base or not candidate:
        raise UserError("a comparison needs the ranks of at least one run on either side")
    named = [(f"base {place}", one) for place, one in enumerate(base, 1)]
    named += [(f"candidate {place}", one) for place, one in enumerate(candidate, 1)]
    for name, one in named[1:]:
        if one.request != base[0].request:
            raise UserError(f"{name} and base 1 must be scored alike: the same settings, measures and statistics")
        if one.data != base[0].data:
            differing = [aspect for aspect, digest in one.data.items() if digest != base[0].data[aspect]]
            raise UserError(f"{name} was measured on other data than base 1: they differ in {', '.join(differing)}")


def _mean_sums(system: System) -> Floats:
    mean: Floats = np.mean([one.settings.sums for one in system], axis=0)
    return mean


def _cuts(settings: Sequence[Setting]) -> Iterator[tuple[Subject, list[int]]]:
    """Yield what to average over: all settings of a kind, those of one language, and each alone.

    Images ask in no language: those settings are told apart by the language of the captions.
    """
    for kind, language, chosen in group(settings):
        yield row_subject("", kind, language) if language else Subject(family="aggregates", name="", kind=kind), chosen
    for index, setting in enumerate(settings):
        if setting.kind == "image_to_text":
            yield row_subject("", setting.kind, setting.document_languages[0]), [index]
    for index, setting in enumerate(settings):
        subject = Subject(
            family="settings",
            name="",
            kind=setting.kind,
            query_language=setting.query_language,
            document_languages=setting.document_languages,
        )
        yield subject, [index]


def _contrast_bias(name: str, base: System, candidate: System) -> Difference:
    score, sample = find_score(name), base[0].sample
    each = [one.bias[name] for one in (*base, *candidate)]
    sums, counts = np.stack([one.sums for one in each], axis=2), each[0].counts
    change = sums[:, :, len(base) :].mean(axis=2) - sums[:, :, : len(base)].mean(axis=2)
    interval = None
    is_mean = score.over_topics == score.over_languages == "mean"
    if score.over_topics == "mean" and counts.any():
        # A range over languages is not linear: each system is resampled, with the same draws.
        replicates = replicate(score, sample.bootstrap(sums, counts))
        differences = replicates[:, len(base) :].mean(axis=1) - replicates[:, : len(base)].mean(axis=1)
        interval = sample.bounds(differences[:, None])[0]
    return Difference(
        subject=Subject(family="aggregates", name=name),
        base=np.array([one.value for one in each[: len(base)]]),
        candidate=np.array([one.value for one in each[len(base) :]]),
        interval=interval,
        n_topics=each[0].n_topics,
        n_clusters=int(counts.any(axis=1).sum()),
        contributions=_contributions(change, counts) if is_mean else None,
    )


def _contrast_captions(name: str, base: System, candidate: System) -> Difference:
    """Return the contrast of a score of captioned images, a mean of its columns."""
    each = [one.captions[name] for one in (*base, *candidate)]
    sums, counts = np.stack([one.sums for one in each], axis=2), each[0].counts
    change: Floats = sums[:, :, len(base) :].mean(axis=2) - sums[:, :, : len(base)].mean(axis=2)
    sample = base[0].sample
    return Difference(
        subject=Subject(family="aggregates", name=name),
        base=np.array([one.value for one in each[: len(base)]]),
        candidate=np.array([one.value for one in each[len(base) :]]),
        interval=sample.bounds(sample.bootstrap(change, counts).macro_mean()[:, None])[0],
        n_topics=each[0].n_topics,
        n_clusters=int(counts.any(axis=1).sum()),
        contributions=_contributions(change, counts),
    )


def _contributions(change: Floats, counts: Floats) -> Contributions | None:
    """Return what clusters add to the macro mean of sums of differences; both arguments (clusters, settings)."""
    if not counts.any():
        return None
    return Contributions(macro_contributions(change, counts), macro_contributions(counts, counts))
