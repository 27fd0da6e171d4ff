"""Arms of a sweep against each other on one task: intervals over clusters of topics, and every pair of seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mlbench.contrasts import contrast
from mlbench.languages import IMAGE, Kind, Setting
from mlbench.observations import Observation, observe
from mlbench.paired import FLIPS, PairedTests, compare
from mlbench.ranks import Ranks
from mlbench.results import Result, Statistics, TaskInfo
from mlbench.scoring import Request
from mlbench.scoring.bias import find_score, replicate
from mlbench.scoring.settings import group
from mlbench.sweeps import (
    ALIGNMENT,
    BIAS_SCORES,
    BIAS_SCORES_OF_IMAGES,
    Claim,
    Figure,
    Pair,
    Row,
    TaskSweep,
    is_separable,
    loss,
)

Floats = NDArray[np.float64]
System = Sequence[Observation]


def observe_result(result: Result, ranks: Ranks) -> Observation:
    """Return what the figures of a sweep need of one result and its ranks."""
    statistics, task = result.statistics, result.task
    wanted = BIAS_SCORES if result.image_text is None else BIAS_SCORES_OF_IMAGES
    request = Request(
        settings=tuple(Setting(each.query_language, each.document_languages) for each in result.settings),
        measures=(task.primary_measure,),
        primary_measure=task.primary_measure,
        bias_scores=tuple(name for name in wanted if name in task.bias_scores),
        parallel=task.parallel,
        resamples=statistics.resamples,
        seed=statistics.seed,
        confidence=statistics.confidence,
    )
    return observe(ranks, request)


def compare_arms(task: TaskInfo, arms: Mapping[str, System], base: str, *, flips: int = FLIPS) -> TaskSweep:
    """Compare arms on a task, each one observation for each training seed, in the same order of seeds.

    Raises `UserError` where the observations are not of the same data.
    """
    order = [base, *(name for name in arms if name != base)]
    pairs: list[Pair] = []
    tests: PairedTests | None = None
    for one, other in combinations(order, 2):
        tests = _test(arms[one], arms[other], flips)
        pairs.append(Pair(base=one, candidate=other, lines=tests.lines))
    rows = tuple(Row(arm=name, figures=tuple(_figures(system))) for name, system in arms.items())
    first = next(iter(arms.values()))[0]
    return TaskSweep(
        name=task.name,
        version=task.version,
        fingerprint=task.fingerprint,
        primary_measure=task.primary_measure,
        n_topics=int(first.asked.any(axis=1).sum()),
        statistics=Statistics(
            unit=first.unit,
            n_clusters=first.sample.n_clusters,
            resamples=first.request.resamples,
            seed=first.request.seed,
            confidence=first.request.confidence,
            redraws=tests.statistics.redraws if tests else 0,
        ),
        flips=tests.flips if tests else 0,
        rows=rows,
        pairs=tuple(pairs),
        claims=tuple(_claims(rows, pairs, 1 - first.request.confidence)),
    )


def _test(base: System, candidate: System, flips: int) -> PairedTests:
    found = contrast(base, candidate)
    # What becomes of single languages is asked of captions: some of them may have few images.
    families = {"aggregates", "query_languages"} if base[0].captions else {"aggregates"}
    return compare(replace(found, each=tuple(c for c in found.each if c.subject.family in families)), flips=flips)


def _figures(system: System) -> Iterator[Figure]:
    first = system[0]
    mean: Floats = np.mean([one.settings.sums for one in system], axis=0)
    drawn = first.sample.bootstrap(mean, first.settings.counts)

    def of_settings(kind: Kind, chosen: list[int]) -> Figure:
        values = [float(one.settings.macro_mean(chosen)[0]) for one in system]
        return _figure(first, first.request.primary_measure, kind, values, drawn.macro_mean(chosen))

    for kind, language, chosen in group(first.request.settings):
        if language is None:
            yield of_settings(kind, chosen)
    for name in first.captions:
        yield _figure(
            first, name, None, [one.captions[name].value for one in system], _caption_replicates(name, system)
        )
    for name in first.request.bias_scores:
        if all(name in one.bias for one in system):
            values = [one.bias[name].value for one in system]
            yield _figure(first, name, None, values, _replicates(name, system))
    for place, setting in enumerate(first.request.settings):
        if setting.kind in ("text_to_image", "image_to_text"):
            language = setting.document_languages[0] if setting.query_language == IMAGE else setting.query_language
            yield of_settings(setting.kind, [place]).model_copy(update={"language": language})


def _caption_replicates(name: str, system: System) -> Floats:
    """Return a score of captions, averaged over seeds, in each resample, (resamples, 1)."""
    sums: Floats = np.mean([one.captions[name].sums for one in system], axis=0)
    return system[0].sample.bootstrap(sums, system[0].captions[name].counts).macro_mean()[:, None]


def _replicates(name: str, system: System) -> Floats | None:
    """Return a bias score, averaged over seeds, in each resample, (resamples, 1); None where it is no mean."""
    score, each = find_score(name), [one.bias[name] for one in system]
    if score.over_topics != "mean" or not each[0].counts.any():
        return None
    drawn = system[0].sample.bootstrap(np.stack([one.sums for one in each], axis=2), each[0].counts)
    mean: Floats = replicate(score, drawn).mean(axis=1)
    return mean[:, None]


def _figure(
    first: Observation, name: str, kind: Kind | None, values: Sequence[float], replicates: Floats | None
) -> Figure:
    known = np.isfinite(values).all()
    return Figure(
        name=name,
        kind=kind,
        mean=float(np.mean(values)) if known else None,
        interval=first.sample.bounds(replicates)[0] if replicates is not None and known else None,
        values=tuple(value if np.isfinite(value) else None for value in values),
    )


def _claims(rows: Sequence[Row], pairs: Sequence[Pair], level: float) -> Iterator[Claim]:
    # Cosines of another model have another scale: none is better for being higher.
    for figure in rows[0].figures if rows else ():
        if figure.language is not None or figure.name in ALIGNMENT:
            continue
        found = [(row.arm, each.mean) for row in rows if (each := row.figure(figure.name, figure.kind))]
        ranked = sorted((loss(figure.name, mean), place) for place, (_, mean) in enumerate(found) if mean is not None)
        if len(ranked) < 2:
            continue
        best, second = (found[place][0] for _, place in ranked[:2])
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
            separable=is_separable(line, level),
        )
