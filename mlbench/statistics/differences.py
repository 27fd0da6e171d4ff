"""Differences of two systems on one task, from their ranks alone, with intervals and what each cluster adds.

A system is one retriever, or the training seeds of one recipe: their values are averaged topic by topic before anything
else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlbench.collection.languages import IMAGE, Kind, Setting
from mlbench.errors import UserError
from mlbench.io.threads import one_blas_thread
from mlbench.measures.bias import TESTED_BIAS_SCORES, find_score
from mlbench.results import Bounds, Statistics
from mlbench.statistics.bias import ScoreSums
from mlbench.statistics.captions import CAPTION_LIMITS, CaptionSums
from mlbench.statistics.cluster_scores import ClusterScores
from mlbench.statistics.clusters import limits_of_differences
from mlbench.statistics.direction import direction_of, loss_contributions
from mlbench.statistics.resampling import Resamples, macro_contributions
from mlbench.statistics.score import describe_statistics, replicate
from mlbench.statistics.settings import SettingSums, group, limits_of

Floats = NDArray[np.float64]
System = Sequence[ClusterScores]
Family = Literal["aggregates", "query_languages", "settings"]
FAMILIES: tuple[Family, ...] = get_args(Family)
MOST_UNRETRIEVED = 0.1
"""The largest share of the pool's relevant documents that lists may leave out where bias scores are compared.

Of two documents that are in no list, neither is known to stand first, which counts as one half: a share s of them moves
own_language_preference by at most s / 2 towards its ideal.
"""


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
    """What each cluster adds to a change (`added`), and to one of 1 (`shares`); both float64 (clusters,)."""

    added: Floats
    shares: Floats


@dataclass(frozen=True, eq=False)
class Difference:
    """One difference, candidate minus base.

    `base` and `candidate` float64 (seeds,) are the values of the single ranks files, NaN without topics. `ideal` and
    `chance` are those of a bias score over the same topics. `contributions` sum to the change; None where there are no
    topics, and for a bias score that is no mean. `change_interval` is that of the change, None where it is `interval`.
    """

    subject: Subject
    base: Floats
    candidate: Floats
    interval: Bounds | None
    n_topics: int
    n_clusters: int
    contributions: Contributions | None = None
    ideal: float | None = None
    chance: float | None = None
    change_interval: Bounds | None = None

    @property
    def difference(self) -> float:
        """The mean over candidate seeds minus the mean over base seeds."""
        return float(self.candidate.mean() - self.base.mean())

    @property
    def target(self) -> float | None:
        """The ideal of a score that is better nearer to it; None for others."""
        return self.ideal if direction_of(self.subject.name) == "nearer" else None

    @property
    def change(self) -> float:
        """What is tested: the difference of the distances from the target where there is one, else of the values."""
        if self.target is None:
            return self.difference
        return float(abs(self.candidate.mean() - self.target) - abs(self.base.mean() - self.target))


@dataclass(frozen=True, eq=False)
class Differences:
    """All differences of two systems, of how many training seeds they are, and how their intervals were made.

    `untested` has the reason for each bias score that both have and that cannot be compared.
    """

    each: tuple[Difference, ...]
    primary_measure: str
    n_base: int
    n_candidate: int
    statistics: Statistics
    untested: Mapping[str, str] = field(default_factory=dict)

    @property
    def tested(self) -> dict[Subject, Contributions]:
        """What every comparison tests: the primary measure everywhere, and `TESTED_BIAS_SCORES`."""
        names = {self.primary_measure, *TESTED_BIAS_SCORES}
        found = ((each.subject, each.contributions) for each in self.each if each.subject.name in names)
        return {subject: contributions for subject, contributions in found if contributions is not None}


@one_blas_thread()
def find_differences(base: System, candidate: System) -> Differences:
    """Compare two systems, each given by the cluster scores of its training seeds.

    Intervals are percentiles of a cluster bootstrap of the difference, one draw for both systems and all settings. Bias
    scores are there that both have and that can be compared. Raises `UserError` where there is nothing to compare, or
    where they are not of the same data and request.
    """
    _check(base, candidate)
    first = base[0]
    change = _change_of_settings(base, candidate)
    drawn = first.sample.resample(change.patterns)
    by_cell = change.replicates(drawn)
    common = [
        name
        for name in first.bias_scores
        if not find_score(name).conditional
        and all(name in one.bias_scores for one in (*base, *candidate))
        # The top of the lists is not known of ranks that were restricted to fewer languages.
        and len({one.bias_scores[name].n_topics for one in (*base, *candidate)}) == 1
    ]
    reasons = {name: _why_untested([one.bias_scores[name] for one in (*base, *candidate)]) for name in common}
    found = [
        *(
            difference
            for subject, chosen in _cuts(first.request.settings)
            for difference in _group_differences(subject, chosen, change, by_cell, (base, candidate))
        ),
        *_setting_differences(change, drawn, (base, candidate)),
        *(_bias_difference(name, base, candidate) for name, reason in reasons.items() if not reason),
        *(
            _caption_difference(name, base, candidate)
            for name in first.caption_scores
            if all(name in one.caption_scores for one in (*base, *candidate))
        ),
    ]
    return Differences(
        each=tuple(sorted(found, key=lambda one: FAMILIES.index(one.subject.family))),
        primary_measure=first.request.primary_measure,
        n_base=len(base),
        n_candidate=len(candidate),
        statistics=describe_statistics(first, drawn.redraws),
        untested={name: reason for name, reason in reasons.items() if reason},
    )


def _why_untested(scores: Sequence[ScoreSums]) -> str:
    """Say why a bias score of several systems cannot be compared; the empty text where it can."""
    most = max(score.unretrieved for score in scores)
    left_out = f"lists leave out {most:.1%} of the relevant documents"
    if most > MOST_UNRETRIEVED:
        return f"{left_out}, and at most {MOST_UNRETRIEVED:.0%} may be missing"
    alike = all(np.array_equal(score.listed, scores[0].listed) for score in scores)
    return "" if most == 0 or alike else f"lists are not equally long, and {left_out}"


def _group_differences(
    subject: Subject, chosen: list[int], change: SettingSums, by_cell: Floats, systems: tuple[System, System]
) -> Iterator[Difference]:
    """Yield the difference of each measure over the `chosen` settings; `by_cell` are the replicates of `change`."""
    first, counts = systems[0][0], change.counts_of(chosen)
    base, candidate = (np.stack([one.settings.macro_mean(chosen) for one in system]) for system in systems)
    means = candidate.mean(axis=0) - base.mean(axis=0)
    limits = limits_of_differences(limits_of(change.measures))
    bounds = first.sample.bounds(means, change.macro_replicates(by_cell, chosen), counts, limits)
    n_topics, n_clusters = int(first.asked[:, chosen].any(axis=1).sum()), int(counts.any(axis=1).sum())
    for index, measure in enumerate(change.measures):
        yield Difference(
            subject=subject.model_copy(update={"name": measure}),
            base=base[:, index],
            candidate=candidate[:, index],
            interval=bounds[index],
            n_topics=n_topics,
            n_clusters=n_clusters,
            contributions=Contributions(*change.contributions(chosen, index)) if n_clusters else None,
        )


def _setting_differences(change: SettingSums, drawn: Resamples, systems: tuple[System, System]) -> Iterator[Difference]:
    """Yield the difference of each single setting: in every measure there are sums of, else in the primary one."""
    first = systems[0][0]
    n_topics, n_clusters = first.asked.sum(axis=0).tolist(), (change.patterns > 0).sum(axis=0)[change.pattern].tolist()
    base, candidate = (np.stack([one.settings.means for one in system]) for system in systems)
    n_queries = np.where(change.n_queries > 0, change.n_queries, np.nan)
    shares = change.patterns / np.maximum(change.patterns.sum(axis=0), 1)
    found = []
    for index, measure in enumerate(change.measures):
        if measure != first.request.primary_measure and not change.has_single_cells:
            continue
        sums = change.primary if measure == first.request.primary_measure else change.totals[:, :, index]
        limits = limits_of_differences(limits_of([measure]))
        means = candidate[:, :, index].mean(axis=0) - base[:, :, index].mean(axis=0)
        bounds = first.sample.bounds_of_settings(means, drawn, sums, change.patterns, change.pattern, limits)
        # The sums are those of this comparison alone.
        found.append((index, measure, np.divide(sums, n_queries, out=sums), bounds))
    for place, setting in enumerate(change.settings):
        for index, measure, added, bounds in found:
            yield Difference(
                subject=Subject(
                    family="settings",
                    name=measure,
                    kind=setting.kind,
                    query_language=setting.query_language,
                    document_languages=setting.document_languages,
                ),
                base=base[:, place, index],
                candidate=candidate[:, place, index],
                interval=bounds[place],
                n_topics=n_topics[place],
                n_clusters=n_clusters[place],
                contributions=Contributions(added[:, place], shares[:, change.pattern[place]])
                if n_clusters[place]
                else None,
            )


def _check(base: System, candidate: System) -> None:
    if not base or not candidate:
        raise UserError("a comparison needs the ranks of at least one run on either side")
    named = [(f"base {number}", one) for number, one in enumerate(base, 1)]
    named += [(f"candidate {number}", one) for number, one in enumerate(candidate, 1)]
    for name, one in named[1:]:
        if one.request != base[0].request:
            raise UserError(f"{name} and base 1 must be scored alike: the same settings, measures and statistics")
        if one.data != base[0].data:
            differing = [aspect for aspect, digest in one.data.items() if digest != base[0].data[aspect]]
            raise UserError(f"{name} was measured on other data than base 1: they differ in {', '.join(differing)}")


def _change_of_settings(base: System, candidate: System) -> SettingSums:
    """Return the sums of what two systems differ by, each averaged over its seeds."""

    def mean(each: Sequence[Floats]) -> Floats:
        return each[0] if len(each) == 1 else np.mean(each, axis=0)

    (base_primary, base_totals), (primary, totals) = (
        (mean([one.settings.primary for one in system]), mean([one.settings.totals for one in system]))
        for system in (base, candidate)
    )
    return replace(base[0].settings, primary=primary - base_primary, totals=totals - base_totals)


def _cuts(settings: Sequence[Setting]) -> Iterator[tuple[Subject, list[int]]]:
    """Yield what to average over: all settings of a kind, and those of one language.

    Images ask in no language: those settings are told apart by the language of the captions.
    """
    for kind, language, chosen in group(settings):
        yield row_subject("", kind, language) if language else Subject(family="aggregates", name="", kind=kind), chosen
    for index, setting in enumerate(settings):
        if setting.kind == "image_to_text":
            yield row_subject("", setting.kind, setting.document_languages[0]), [index]


def _bias_difference(name: str, base: System, candidate: System) -> Difference:
    score, sample = find_score(name), base[0].sample
    scores = [one.bias_scores[name] for one in (*base, *candidate)]
    sums, counts = np.stack([one.sums for one in scores], axis=2), scores[0].counts
    interval = change_interval = None
    ideal = scores[0].references.get("ideal")
    if score.over_topics == "mean" and counts.any():
        # A range over languages is not linear: each system is resampled, with the same draws.
        replicates = replicate(score, sample.bootstrap(sums, counts))
        differences = replicates[:, len(base) :].mean(axis=1) - replicates[:, : len(base)].mean(axis=1)
        values = np.array([one.value for one in scores])
        base_values, candidate_values = values[: len(base)].mean(), values[len(base) :].mean()
        limits = limits_of_differences(score.limits)
        interval = sample.bounds(np.array([candidate_values - base_values]), differences[:, None], counts, limits)[0]
        if score.direction == "nearer" and ideal is not None:
            sides = replicates[:, : len(base)].mean(axis=1), replicates[:, len(base) :].mean(axis=1)
            change = abs(sides[1] - ideal) - abs(sides[0] - ideal)
            estimate = np.array([abs(candidate_values - ideal) - abs(base_values - ideal)])
            change_interval = sample.bounds(estimate, change[:, None], counts, limits)[0]
    found = _score_difference(name, scores, len(base), interval, None)
    return replace(
        found,
        contributions=_change_of_score(name, sums, counts, len(base), ideal) if score.is_mean else None,
        ideal=ideal,
        chance=scores[0].references.get("chance"),
        change_interval=change_interval,
    )


def _change_of_score(name: str, sums: Floats, counts: Floats, n_base: int, ideal: float | None) -> Contributions | None:
    """Return what clusters add to the change of a bias score; `sums` (clusters, columns, seeds), the base's first."""
    if direction_of(name) != "nearer":
        return _contributions(sums[:, :, n_base:].mean(axis=2) - sums[:, :, :n_base].mean(axis=2), counts)
    if ideal is None or not counts.any():
        return None
    shares = macro_contributions(counts, counts)
    base, candidate = (
        loss_contributions(name, macro_contributions(side.mean(axis=2), counts), shares, ideal)
        for side in (sums[:, :, :n_base], sums[:, :, n_base:])
    )
    return None if base is None or candidate is None else Contributions(candidate - base, shares)


def _caption_difference(name: str, base: System, candidate: System) -> Difference:
    """Return the difference of a score of captioned images, a mean of its columns."""
    sample = base[0].sample
    scores = [one.caption_scores[name] for one in (*base, *candidate)]
    change, counts = _change(scores, len(base)), scores[0].counts
    estimate, replicates = macro_contributions(change, counts).sum(), sample.bootstrap(change, counts).macro_mean()
    limits = limits_of_differences(CAPTION_LIMITS[name])
    interval = sample.bounds(np.array([estimate]), replicates[:, None], counts, limits)[0]
    return _score_difference(name, scores, len(base), interval, _contributions(change, counts))


def _score_difference(
    name: str,
    scores: Sequence[ScoreSums | CaptionSums],
    n_base: int,
    interval: Bounds | None,
    contributions: Contributions | None,
) -> Difference:
    """Return the difference of one score; the first `n_base` of `scores` are those of the base."""
    return Difference(
        subject=Subject(family="aggregates", name=name),
        base=np.array([one.value for one in scores[:n_base]]),
        candidate=np.array([one.value for one in scores[n_base:]]),
        interval=interval,
        n_topics=scores[0].n_topics,
        n_clusters=int(scores[0].counts.any(axis=1).sum()),
        contributions=contributions,
    )


def _change(scores: Sequence[ScoreSums | CaptionSums], n_base: int) -> Floats:
    """Return the mean sums of the candidate's seeds minus those of the base's, (clusters, columns)."""
    sums = np.stack([one.sums for one in scores], axis=2)
    change: Floats = sums[:, :, n_base:].mean(axis=2) - sums[:, :, :n_base].mean(axis=2)
    return change


def _contributions(change: Floats, counts: Floats) -> Contributions | None:
    """Return what clusters add to the macro mean of sums of differences; both arguments (clusters, settings)."""
    if not counts.any():
        return None
    return Contributions(macro_contributions(change, counts), macro_contributions(counts, counts))
