"""Paired tests of two systems on the same task: is a difference larger than other topics could have made it?

The unit is the cluster of topics: the differences of all its topics in all settings have their sign flipped together.
Only topics vary in these tests. Training seeds, a second random factor, are averaged topic by topic before, and the
difference of every pair of seeds is shown beside.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mlbench.collection.languages import Kind
from mlbench.errors import UserError
from mlbench.io.document import DocumentPart
from mlbench.io.threads import one_blas_thread
from mlbench.ranking.ranks import Ranks
from mlbench.results import Bounds, Statistics
from mlbench.statistics.cluster_scores import ScoreRequest, sum_by_cluster
from mlbench.statistics.clusters import finite
from mlbench.statistics.differences import FAMILIES, Difference, Differences, Subject, find_differences
from mlbench.statistics.resampling import PValues, benjamini_hochberg, paired_randomization

Floats = NDArray[np.float64]
LEVEL = 0.05
"""The chance of a false finding in a family, where nobody asks for another."""
FLIPS = 10_000
"""How many sign patterns are tried; all of them, where there are no more."""


class Tails(DocumentPart):
    """p-values against any difference, and against a candidate that is higher (`greater`) or lower (`less`).

    Of a score that is better nearer to its ideal, the distance from the ideal is tested.
    """

    two_sided: float
    greater: float
    less: float


class Line(Subject):
    """One difference, candidate minus base; values are means over training seeds, null without topics.

    `raw` p-values stand for this line alone, `adjusted` ones for all tested lines of its family. Both are null where
    nothing is tested: for measures but the primary one, and for most bias scores. `benjamini_hochberg` is the two-sided
    p-value of a single setting adjusted for the false discovery rate among them, null elsewhere. `ideal` and `chance`
    are those of a bias score over the same topics. `seed_pairs` has the difference of each base seed (rows) and
    candidate seed (columns); empty but for the aggregates.
    """

    base: float | None
    candidate: float | None
    difference: float | None
    interval: Bounds | None
    raw: Tails | None
    adjusted: Tails | None
    benjamini_hochberg: float | None = None
    n_topics: int
    n_clusters: int
    seed_pairs: tuple[tuple[float, ...], ...] = ()
    ideal: float | None = None
    chance: float | None = None


class PairedTests(DocumentPart):
    """Every difference of two systems on one task, tested where it is a primary one.

    `flips` sign patterns were tried; `exact` says that these are all there are. They and the resamples of the intervals
    come from the seed in `statistics`. `untested` has the reason for each bias score that cannot be compared.
    """

    primary_measure: str
    n_base: int
    n_candidate: int
    flips: int
    exact: bool
    statistics: Statistics
    lines: tuple[Line, ...]
    untested: dict[str, str] = Field(default={})

    def __repr__(self) -> str:
        """Say in one line how much was compared and tested."""
        tested = sum(each.adjusted is not None for each in self.lines)
        return f"{len(self.lines):,} differences, {tested:,} of them tested with {self.flips:,} flips"

    def line(
        self,
        name: str,
        kind: Kind | None = None,
        query_language: str | None = None,
        document_languages: Iterable[str] | None = None,
    ) -> Line | None:
        """Return the line of a bias score, of an aggregate or of one setting, or None where there is none."""
        documents = None if document_languages is None else tuple(sorted(set(document_languages)))
        wanted = (name, kind, query_language, documents)
        keyed = ((each, (each.name, each.kind, each.query_language, each.document_languages)) for each in self.lines)
        return next((each for each, key in keyed if key == wanted), None)


def compare_ranks(
    base: Sequence[Ranks], candidate: Sequence[Ranks], request: ScoreRequest, *, flips: int = FLIPS
) -> PairedTests:
    """Compare two systems by their ranks, one `Ranks` for each training seed; see `find_differences` and `compare`."""
    scores = [[sum_by_cluster(ranks, request) for ranks in system] for system in (base, candidate)]
    return compare(find_differences(*scores), flips=flips)


def check_flips(flips: int, level: float, n_tasks: int = 1) -> None:
    """Raise `UserError` for fewer flips than 1 / level + 1, of which hardly any p-value could reach the level.

    With several tasks each is tested at its share of the level.
    """
    fewest = ceil(n_tasks / level - 1e-9) + 1
    if flips < fewest:
        at = f"{level:g}".replace("0.", ".", 1) + (f" shared by {n_tasks} tasks" if n_tasks > 1 else "")
        raise UserError(f"{flips:,} sign flips are too few for a level of {at}: give at least {fewest:,}")


@one_blas_thread()
def compare(differences: Differences, *, flips: int = FLIPS, level: float = LEVEL) -> PairedTests:
    """Test the differences of the primary measure and of language bias, in three families.

    These are the aggregates with own_language_preference and rank_distance, the rows by query language, and the single
    settings. Each is adjusted by step-down max-T (Westfall and Young 1993), the single settings also by Benjamini and
    Hochberg; what has no topics stands outside. Raises `UserError` for fewer flips than `level` asks for.
    """
    check_flips(flips, level)
    columns = {subject: contributions.added for subject, contributions in differences.tested.items()}
    tests = _test(columns, flips, differences.statistics.seed)
    any_test = next(iter(tests.values()), None)
    return PairedTests(
        primary_measure=differences.primary_measure,
        n_base=differences.n_base,
        n_candidate=differences.n_candidate,
        flips=any_test.flips if any_test else 0,
        exact=any_test.exact if any_test else False,
        statistics=differences.statistics,
        lines=tuple(_line(each, tests.get(each.subject)) for each in differences.each),
        untested=dict(differences.untested),
    )


@dataclass(frozen=True, slots=True)
class _Test:
    raw: Tails
    adjusted: Tails
    benjamini_hochberg: float | None
    flips: int
    exact: bool


def _test(columns: Mapping[Subject, Floats], flips: int, seed: int) -> dict[Subject, _Test]:
    """Test contributions (clusters,) of several subjects, each family by itself, all with the same flips."""
    found = {}
    for family in FAMILIES:
        subjects = [subject for subject in columns if subject.family == family]
        if not subjects:
            continue
        result = paired_randomization(np.stack([columns[subject] for subject in subjects]).T, flips=flips, seed=seed)
        rates = benjamini_hochberg(result.raw.two_sided)
        for index, subject in enumerate(subjects):
            raw, adjusted = _tails(result.raw, index), _tails(result.adjusted, index)
            rate = finite(rates[index]) if family == "settings" else None
            found[subject] = _Test(raw, adjusted, rate, result.flips, result.exact)
    return found


def _tails(p: PValues, index: int) -> Tails:
    return Tails(two_sided=float(p.two_sided[index]), greater=float(p.greater[index]), less=float(p.less[index]))


def _line(each: Difference, test: _Test | None) -> Line:
    pairs = each.candidate - each.base[:, None] if each.subject.family == "aggregates" else np.empty((0, 0))
    return Line(
        **each.subject.model_dump(),
        base=finite(each.base.mean()),
        candidate=finite(each.candidate.mean()),
        difference=finite(each.difference),
        interval=each.interval,
        raw=test.raw if test else None,
        adjusted=test.adjusted if test else None,
        benjamini_hochberg=test.benjamini_hochberg if test else None,
        n_topics=each.n_topics,
        n_clusters=each.n_clusters,
        ideal=each.ideal,
        chance=each.chance,
        seed_pairs=tuple(tuple(row) for row in pairs.tolist()) if np.isfinite(pairs).all() else (),
    )
