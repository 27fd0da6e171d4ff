"""The document of a sweep: arms of one recipe, several training seeds each, measured and compared on some tasks."""

import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from mlbench.collection.languages import IMAGE, Kind
from mlbench.errors import InvalidResult
from mlbench.io.document import DocumentPart, Migration, read_document, rename_key
from mlbench.io.threads import one_blas_thread
from mlbench.measures.bias import find_score
from mlbench.ranking.ranks import Ranks
from mlbench.results import Bounds, Result, Statistics, TaskInfo
from mlbench.statistics.captions import CAPTION_LIMITS
from mlbench.statistics.cluster_scores import ClusterScores, ScoreRequest, sum_by_cluster
from mlbench.statistics.clusters import Limits
from mlbench.statistics.differences import find_differences
from mlbench.statistics.direction import direction_of, loss
from mlbench.statistics.paired_tests import FLIPS, LEVEL, Line, PairedTests, compare
from mlbench.statistics.resampling import smallest_p
from mlbench.statistics.score import describe_statistics, replicate
from mlbench.statistics.settings import group, limits_of

Floats = NDArray[np.float64]
System = Sequence[ClusterScores]
Names = tuple[str, str]

SCHEMA_VERSION: Final = "2.0"
BIAS_SCORES = ("rank_distance", "rank_distance_median", "own_language_preference", "max_rank_norm")
"""The bias scores of a sweep, in the order of its tables."""
BIAS_SCORES_OF_IMAGES = (*BIAS_SCORES, "rank_spread")
"""The same where captions describe images."""
RATIOS: Final = "batches.ratios"
"""The key whose values are the shares of three kinds of batches."""
_ORDER = ("mono", "cross", "image", "captions", "mixed")


class SweepAxis(DocumentPart):
    """A key of the recipe and the values it takes; `name` is the key as short as it is clear.

    Each value of `RATIOS` has the share of every kind of batches, also where it is 0.
    """

    name: str
    key: str
    values: tuple[JsonValue, ...]


class Arm(DocumentPart):
    """One value of every axis.

    `confounded` says in what, beside what is swept, the arm differs from the base arm: data, rows, views or updates.
    What is found of such an arm need not come from the languages of its batches.
    """

    name: str
    values: dict[str, JsonValue]
    confounded: tuple[str, ...] = ()


class Point(DocumentPart):
    """An arm trained with one seed; `checkpoint` and `results` (by task) are paths beside the document.

    `rows_digest` is that of the rows and views drawn, None where the checkpoint does not say.
    """

    arm: str
    seed: int
    recipe_fingerprint: str
    model_fingerprint: str
    steps: int
    rows_digest: str | None
    checkpoint: str
    results: dict[str, str]


class ArmFigure(DocumentPart):
    """A macro mean of a measure over a kind of settings, or without a kind a bias score or one of captions.

    With a `language` it is that of the captions in it alone, beside images. `values` are those of the seeds, `mean`
    their mean. The interval is that of the mean: topics are averaged over seeds and resampled in clusters; null for
    medians, which are not means over topics.
    """

    name: str
    kind: Kind | None
    mean: float | None
    interval: Bounds | None
    values: tuple[float | None, ...]
    language: str | None = None

    @property
    def spread(self) -> Bounds | None:
        """The lowest and the highest value of a seed; None where one is missing, or there is a single seed."""
        known = [value for value in self.values if value is not None]
        return Bounds(low=min(known), high=max(known)) if len(known) == len(self.values) > 1 else None


class ArmFigures(DocumentPart):
    """The figures of one arm."""

    arm: str
    figures: tuple[ArmFigure, ...]

    def figure(self, name: str, kind: Kind | None = None, language: str | None = None) -> ArmFigure | None:
        """Return one figure, or None where the task has none such."""
        wanted = (name, kind, language)
        return next((each for each in self.figures if (each.name, each.kind, each.language) == wanted), None)


class ArmPair(DocumentPart):
    """All figures of one arm against another: `lines` as `compare_ranks` makes them, adjusted within the pair."""

    base: str
    candidate: str
    lines: tuple[Line, ...]

    def line(self, name: str, kind: Kind | None = None, language: str | None = None) -> Line | None:
        """Return the line of one figure, or None where there is none such."""
        wanted = (name, kind, language)
        return next((each for each in self.lines if (each.name, each.kind, each.language) == wanted), None)


class Claim(DocumentPart):
    """Which arm is best in one figure, and which comes second.

    `p` is two-sided and adjusted, null where nothing is tested. `significant` says whether the difference is: by the
    test, else by the interval; null without either, and where so few clusters give no p-value that could be.
    """

    name: str
    kind: Kind | None
    best: str
    second: str
    difference: float
    interval: Bounds | None
    p: float | None
    significant: bool | None


class TaskSweep(DocumentPart):
    """All arms on one task; `pairs` begins with those against the base arm."""

    name: str
    version: str
    fingerprint: str
    primary_measure: str
    n_topics: int
    statistics: Statistics
    flips: int
    rows: tuple[ArmFigures, ...]
    pairs: tuple[ArmPair, ...]
    claims: tuple[Claim, ...]

    def row(self, arm: str) -> ArmFigures:
        """Return the figures of an arm."""
        return next(row for row in self.rows if row.arm == arm)

    def claim(self, name: str, kind: Kind | None = None) -> Claim | None:
        """Return which arm is best in one figure, or None where there are no two arms with a value."""
        return next((each for each in self.claims if (each.name, each.kind) == (name, kind)), None)


class Sweep(DocumentPart):
    """Everything that a sweep found; the same points give the same document, to the byte."""

    schema_version: Literal["2.0"] = SCHEMA_VERSION
    mlbench: str
    recipe: str
    title: str
    settings: dict[str, JsonValue]
    axes: tuple[SweepAxis, ...]
    seeds: tuple[int, ...] = Field(min_length=1)
    base: str
    arms: tuple[Arm, ...] = Field(min_length=1)
    points: tuple[Point, ...]
    tasks: tuple[TaskSweep, ...]

    def arm(self, name: str) -> Arm:
        """Return the arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)


def kinds_of(ratios: Mapping[str, JsonValue]) -> list[str]:
    """Return the kinds of batches that have shares, in the order of recipes, which documents do not keep."""
    return sorted(ratios, key=_ORDER.index)


def _is_ratios(value: Mapping[str, JsonValue]) -> bool:
    return value.keys() <= set(_ORDER) and all(isinstance(share, int | float) for share in value.values())


def written(value: JsonValue) -> str:
    """Return the value of a key as people write it: `0.5`, `mono`, `["ar", "en"]`, `mono 0.75 cross 0.25`."""
    if isinstance(value, dict) and _is_ratios(value):
        return " ".join(f"{kind} {value[kind]:.3g}" for kind in kinds_of(value) if value[kind])
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def is_significant(line: Line, flips: int = FLIPS, level: float = LEVEL) -> bool | None:
    """Say whether a difference is significant; None where neither a test of so many flips nor an interval tells."""
    if line.adjusted is not None:
        if line.adjusted.two_sided <= level:
            return True
        return None if smallest_p(line.n_clusters, flips, two_sided=True) > level else False
    return None if line.interval is None else not line.interval.low <= 0 <= line.interval.high


def sweep_from_1(document: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the document of a sweep of version 1 as one of version 2.0, which has the same numbers."""
    document = rename_key(document, "tasks.statistics.unit", "clustered_by")
    return rename_key(document, "tasks.claims.separable", "significant")


MIGRATIONS: Mapping[int, Migration] = {1: sweep_from_1}
"""What makes a document of each older major version one of the next."""


def from_json(content: bytes) -> Sweep:
    """Return the document in `content`, which may be of another version as results may.

    Raises `InvalidResult` in one line for anything else.
    """
    try:
        return read_document(content, "document of a sweep", Sweep, SCHEMA_VERSION, MIGRATIONS)
    except ValueError as error:
        raise InvalidResult(f"this {error}") from error


def cluster_scores_of(result: Result, ranks: Ranks) -> ClusterScores:
    """Return what the figures of a sweep need of one result and its ranks."""
    wanted = BIAS_SCORES if result.image_text is None else BIAS_SCORES_OF_IMAGES
    request = replace(
        ScoreRequest.of_result(result),
        measures=(result.task.primary_measure,),
        bias_scores=tuple(name for name in wanted if name in result.task.bias_scores),
    )
    return sum_by_cluster(ranks, request)


@one_blas_thread()
def compare_arms(
    task: TaskInfo, arms: Mapping[str, System], base: str, *, others: Container[Names] | None = None, flips: int = FLIPS
) -> TaskSweep:
    """Compare arms on a task, each the cluster scores of each training seed, in the same order of seeds.

    Every arm is compared with `base`, the best in a figure with the second, and `others` with each other (None: all),
    which are pairs of names in alphabetical order. Raises `UserError` where arms are not of the same data.
    """
    rows = tuple(ArmFigures(arm=name, figures=tuple(_figures(system))) for name, system in arms.items())
    order = [base, *(name for name in arms if name != base)]
    leading = {tuple(sorted(names)) for _, names in _leaders(rows)}
    pairs: list[ArmPair] = []
    tests: PairedTests | None = None
    for one, other in combinations(order, 2):
        names = (min(one, other), max(one, other))
        if one == base or names in leading or others is None or names in others:
            tests = _test(arms[one], arms[other], flips)
            pairs.append(ArmPair(base=one, candidate=other, lines=tests.lines))
    first = next(iter(arms.values()))[0]
    return TaskSweep(
        name=task.name,
        version=task.version,
        fingerprint=task.fingerprint,
        primary_measure=task.primary_measure,
        n_topics=int(first.asked.any(axis=1).sum()),
        statistics=describe_statistics(first, tests.statistics.redraws if tests else 0),
        flips=tests.flips if tests else 0,
        rows=rows,
        pairs=tuple(pairs),
        claims=tuple(_claims(rows, pairs, tests.flips if tests else 0, 1 - first.request.confidence)),
    )


def _test(base: System, candidate: System, flips: int) -> PairedTests:
    found = find_differences(base, candidate)
    # What becomes of single languages is asked of captions: some of them may have few images.
    families = {"aggregates", "query_languages"} if base[0].captions else {"aggregates"}
    return compare(replace(found, each=tuple(c for c in found.each if c.subject.family in families)), flips=flips)


def _figures(system: System) -> Iterator[ArmFigure]:
    first = system[0]
    totals: Floats = np.mean([one.settings.totals for one in system], axis=0)
    mean = replace(first.settings, totals=totals)
    by_cell = mean.replicates(first.sample.resample(mean.patterns))
    limits = limits_of([first.request.primary_measure])

    def of_settings(kind: Kind, chosen: list[int]) -> ArmFigure:
        values = [float(one.settings.macro_mean(chosen)[0]) for one in system]
        drawn_means = _Resampled(mean.macro_replicates(by_cell, chosen), mean.counts_of(chosen), limits)
        return _figure(first, first.request.primary_measure, kind, values, drawn_means)

    for kind, language, chosen in group(first.request.settings):
        if language is None:
            yield of_settings(kind, chosen)
    for name in first.caption_scores:
        values = [one.caption_scores[name].value for one in system]
        yield _figure(first, name, None, values, _caption_replicates(name, system))
    for name in first.request.bias_scores:
        if all(name in one.bias_scores for one in system):
            values = [one.bias_scores[name].value for one in system]
            yield _figure(first, name, None, values, _replicates(name, system))
    for place, setting in enumerate(first.request.settings):
        if setting.kind in ("text_to_image", "image_to_text"):
            language = setting.document_languages[0] if setting.query_language == IMAGE else setting.query_language
            yield of_settings(setting.kind, [place]).model_copy(update={"language": language})


@dataclass(frozen=True, eq=False)
class _Resampled:
    """A figure, averaged over seeds, in each resample: `replicates` float64 (resamples, 1).

    `counts` and `limits` are those of `ClusterSample.bounds`.
    """

    replicates: Floats
    counts: Floats
    limits: Limits


def _caption_replicates(name: str, system: System) -> _Resampled:
    """Return a score of captions in each resample."""
    sums: Floats = np.mean([one.caption_scores[name].sums for one in system], axis=0)
    counts = system[0].caption_scores[name].counts
    drawn = system[0].sample.bootstrap(sums, counts)
    return _Resampled(drawn.macro_mean()[:, None], counts, CAPTION_LIMITS[name])


def _replicates(name: str, system: System) -> _Resampled | None:
    """Return a bias score in each resample; None where it is no mean."""
    score, each = find_score(name), [one.bias_scores[name] for one in system]
    if score.over_topics != "mean" or not each[0].counts.any():
        return None
    drawn = system[0].sample.bootstrap(np.stack([one.sums for one in each], axis=2), each[0].counts)
    mean: Floats = replicate(score, drawn).mean(axis=1)
    return _Resampled(mean[:, None], each[0].counts, score.limits)


def _figure(
    first: ClusterScores, name: str, kind: Kind | None, values: Sequence[float], drawn: _Resampled | None
) -> ArmFigure:
    known, bounds = np.isfinite(values).all(), None
    if drawn is not None and known:
        bounds = first.sample.bounds(np.array([np.mean(values)]), drawn.replicates, drawn.counts, drawn.limits)[0]
    return ArmFigure(
        name=name,
        kind=kind,
        mean=float(np.mean(values)) if known else None,
        interval=bounds,
        values=tuple(value if np.isfinite(value) else None for value in values),
    )


def _leaders(rows: Sequence[ArmFigures]) -> Iterator[tuple[ArmFigure, Names]]:
    """Yield the figures that two arms have a value of, of which one is better, with the best arm and the second."""
    for figure in rows[0].figures if rows else ():
        if figure.language is not None or direction_of(figure.name) is None:
            continue
        found = [(row.arm, each.mean) for row in rows if (each := row.figure(figure.name, figure.kind))]
        losses = [None if mean is None else loss(figure.name, mean) for _, mean in found]
        ranked = sorted((lost, place) for place, lost in enumerate(losses) if lost is not None)
        if len(ranked) >= 2:
            yield figure, (found[ranked[0][1]][0], found[ranked[1][1]][0])


def _claims(rows: Sequence[ArmFigures], pairs: Sequence[ArmPair], flips: int, level: float) -> Iterator[Claim]:
    for figure, (best, second) in _leaders(rows):
        pair = next(each for each in pairs if {each.base, each.candidate} == {best, second})
        line = pair.line(figure.name, figure.kind)
        if line is None or line.difference is None:
            continue
        sign = 1 if pair.candidate == best else -1
        bounds = line.interval
        if bounds is not None and sign < 0:
            bounds = bounds.model_copy(update={"low": -bounds.high, "high": -bounds.low})
        yield Claim(
            name=figure.name,
            kind=figure.kind,
            best=best,
            second=second,
            difference=sign * line.difference,
            interval=bounds,
            p=line.adjusted.two_sided if line.adjusted else None,
            significant=is_significant(line, flips, level),
        )
