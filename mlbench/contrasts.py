"""What two systems differ by on the same task, from their ranks alone, and how much of it each cluster adds.

A system is one retriever, or the seeds of one recipe: their values are averaged topic by topic before anything else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlbench.errors import UserError
from mlbench.languages import IMAGE, Kind, Setting
from mlbench.observations import Observation
from mlbench.results import Bounds, Statistics
from mlbench.scoring.bias import find_score, replicate
from mlbench.scoring.settings import group
from mlbench.significance import Bootstrap, macro_contributions

Floats = NDArray[np.float64]
System = Sequence[Observation]

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


def row_of(name: str, kind: Kind | None, language: str | None) -> Subject:
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
class Contrast:
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
class Contrasts:
    """All differences of two systems, of how many training seeds they are, and how their intervals were made."""

    each: tuple[Contrast, ...]
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


def contrast(base: System, candidate: System) -> Contrasts:
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
    return Contrasts(
        each=tuple(sorted((*in_settings, *in_bias, *in_captions), key=lambda one: FAMILIES.index(one.subject.family))),
        primary_measure=request.primary_measure,
        n_base=len(base),
        n_candidate=len(candidate),
        statistics=Statistics(
            unit=first.unit,
            n_clusters=sample.n_clusters,
            resamples=request.resamples,
            seed=request.seed,
            confidence=request.confidence,
            redraws=drawn.redraws,
        ),
    )


def _contrast_cut(
    subject: Subject, chosen: list[int], change: Floats, drawn: Bootstrap, systems: tuple[System, System]
) -> Iterator[Contrast]:
    """Yield the contrast of each measure over the `chosen` settings; `change` (clusters, settings, measures)."""
    first = systems[0][0]
    counts = first.settings.counts[:, chosen]
    bounds = first.sample.bounds(drawn.macro_mean(chosen))
    base, candidate = (np.stack([one.settings.macro_mean(chosen) for one in system]) for system in systems)
    for index, measure in enumerate(first.request.measures):
        yield Contrast(
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
        yield row_of("", kind, language) if language else Subject(family="aggregates", name="", kind=kind), chosen
    for index, setting in enumerate(settings):
        if setting.kind == "image_to_text":
            yield row_of("", setting.kind, setting.document_languages[0]), [index]
    for index, setting in enumerate(settings):
        subject = Subject(
            family="settings",
            name="",
            kind=setting.kind,
            query_language=setting.query_language,
            document_languages=setting.document_languages,
        )
        yield subject, [index]


def _contrast_bias(name: str, base: System, candidate: System) -> Contrast:
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
    return Contrast(
        subject=Subject(family="aggregates", name=name),
        base=np.array([one.value for one in each[: len(base)]]),
        candidate=np.array([one.value for one in each[len(base) :]]),
        interval=interval,
        n_topics=each[0].n_topics,
        n_clusters=int(counts.any(axis=1).sum()),
        contributions=_contributions(change, counts) if is_mean else None,
    )


def _contrast_captions(name: str, base: System, candidate: System) -> Contrast:
    """Return the contrast of a score of captioned images, a mean of its columns."""
    each = [one.captions[name] for one in (*base, *candidate)]
    sums, counts = np.stack([one.sums for one in each], axis=2), each[0].counts
    change: Floats = sums[:, :, len(base) :].mean(axis=2) - sums[:, :, : len(base)].mean(axis=2)
    sample = base[0].sample
    return Contrast(
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
