"""The arithmetic of ranked-list measures: from the ranks and grades of each query's relevant documents to its value."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlbench.errors import UserError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
UNRETRIEVED = int(np.iinfo(np.int64).max)
"""The rank of a relevant document that was not retrieved, or is missing from the corpus."""
HORIZON = 1000
"""How far down the list the measures of cwl_eval look; what stands below counts as not relevant."""
_LARGEST_ERR_GRADE = 4
_LARGEST_EXPONENT = 60
_CELLS = 2**21
# Of what a sum of falling weights may lack.
_NEGLIGIBLE = 1e-18


@dataclass(frozen=True, eq=False)
class RelevantRanks:
    """The ranks of each query's relevant documents in one setting.

    `ranks` is int64 (queries, m), ascending in each row, 1 for the first document of the list; `grades` is float64
    (queries, m) beside it, 0 where a row has fewer than m relevant documents (the rank there is `UNRETRIEVED`).
    `listed` is int64 (queries,), how many documents each list holds.
    """

    ranks: Integers
    grades: Floats
    listed: Integers

    @cached_property
    def n_relevant(self) -> Integers:
        """How many relevant documents each query has, retrieved or not; int64 (queries,)."""
        counts: Integers = np.count_nonzero(self.grades, axis=1)
        return counts

    @property
    def n_retrieved(self) -> Integers:
        """How many of them were retrieved; int64 (queries,)."""
        return self.n_within(None)

    def within(self, cutoff: int | None) -> NDArray[np.bool_]:
        """Return which relevant documents stand in the top `cutoff`, or in the list at all; bool (queries, m)."""
        inside: NDArray[np.bool_] = self.ranks <= (UNRETRIEVED - 1 if cutoff is None else cutoff)
        return inside

    def n_within(self, cutoff: int | None) -> Integers:
        """Return how many relevant documents stand in the top `cutoff`; int64 (queries,)."""
        counts: Integers = np.count_nonzero(self.within(cutoff), axis=1)
        return counts

    def ideal(self) -> "RelevantRanks":
        """Return what the best possible list gives: the relevant documents at the top, highest grades first."""
        grades = -np.sort(-self.grades, axis=1)
        places = np.broadcast_to(np.arange(1, grades.shape[1] + 1), grades.shape)
        listed = np.maximum(self.listed, np.count_nonzero(grades, axis=1))
        return RelevantRanks(np.where(grades > 0, places, UNRETRIEVED), grades, listed)

    def of_grade(self, lowest: int) -> "RelevantRanks":
        """Return the same without relevant documents of a lower grade, as if these were not relevant."""
        kept = self.grades >= lowest
        ranks, grades = np.where(kept, self.ranks, UNRETRIEVED), np.where(kept, self.grades, 0.0)
        order = np.argsort(ranks, axis=1, kind="stable")
        return replace(self, ranks=np.take_along_axis(ranks, order, 1), grades=np.take_along_axis(grades, order, 1))


def relevant_ranks(
    query: ArrayLike, rank: ArrayLike, grade: ArrayLike, n_queries: int, listed: ArrayLike | None = None
) -> RelevantRanks:
    """Gather flat rows (query index, rank, grade), one for each relevant document, into a `RelevantRanks`.

    The three arrays have shape (rows,), integers but for the grades, which are above 0. No rows give m = 0. `listed`
    (queries,) are the lengths of the lists; without it, they end with the last relevant document.
    """
    rows, ranks = (np.asarray(values, dtype=np.int64) for values in (query, rank))
    grades = np.asarray(grade, dtype=np.float64)
    per_query = np.bincount(rows, minlength=n_queries)
    shape = (n_queries, int(per_query.max(initial=0)))
    if len(rows) == shape[0] * shape[1] and (np.diff(rows) >= 0).all() and (grades == grades[:1]).all():
        # In the order of queries, with equally many documents of one grade for each, only ranks are left to sort.
        padded_ranks, padded_grades = np.sort(ranks.reshape(shape), axis=1), grades.reshape(shape)
    else:
        order = np.lexsort((-grades, ranks, rows))
        rows, ranks, grades = rows[order], ranks[order], grades[order]
        column = np.arange(len(rows)) - (np.cumsum(per_query) - per_query)[rows]
        padded_ranks, padded_grades = np.full(shape, UNRETRIEVED), np.zeros(shape)
        padded_ranks[rows, column], padded_grades[rows, column] = ranks, grades
    if listed is None:
        listed = np.where(padded_ranks < UNRETRIEVED, padded_ranks, 0).max(axis=1, initial=0)
    return RelevantRanks(padded_ranks, padded_grades, np.asarray(listed, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of all measures, as ir_measures calls them; each measure reads those that it has."""

    cutoff: int | None = None
    rel: int | None = None
    p: float = 0.8
    T: float = 1.0
    beta: float = 1.0
    recall: float = 0.0
    dcg: Literal["log2", "exp-log2"] = "log2"
    gains: tuple[tuple[int, int], ...] = ()
    min_rel: int = 0
    max_rel: int = 1
    relative: bool = False
    normalize: bool = True


Formula = Callable[[RelevantRanks, Parameters], Floats]
"""Gives the measure of each query, float64 (queries,); what it gives without relevant documents is replaced by 0."""


def average_precision(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return (1/m) sum_i i / rank_i over the relevant documents within the cutoff."""
    places = np.arange(1, relevant.ranks.shape[1] + 1)
    return _divide(
        np.where(relevant.within(given.cutoff), places / relevant.ranks, 0.0).sum(axis=1), relevant.n_relevant
    )


def reciprocal_rank(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return 1 / rank_1, 0 beyond the cutoff."""
    best: Floats = np.where(relevant.within(given.cutoff), 1 / relevant.ranks, 0.0).max(axis=1, initial=0.0)
    return best


def recall(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the share of the relevant documents within the cutoff."""
    return _divide(relevant.n_within(given.cutoff), relevant.n_relevant)


def precision(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the share of the cutoff that is relevant."""
    return _divide(relevant.n_within(given.cutoff), np.full(len(relevant.ranks), given.cutoff or 0))


def success(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return whether there is a relevant document within the cutoff."""
    hits: Floats = np.any(relevant.within(given.cutoff), axis=1).astype(np.float64)
    return hits


def r_precision(relevant: RelevantRanks, _given: Parameters) -> Floats:
    """Return the precision at m, the number of relevant documents."""
    m = relevant.n_relevant
    return _divide(np.count_nonzero(relevant.ranks <= m[:, None], axis=1), m)


def interpolated_precision(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the highest precision at a relevant document with which the recall is reached."""
    # As trec_eval rounds, so that a recall of 0.1 of 10 documents is reached with the first of them.
    needed = np.maximum((given.recall * relevant.n_relevant + 0.9).astype(np.int64), 1)
    places = np.arange(1, relevant.ranks.shape[1] + 1)
    reached = relevant.within(None) & (places >= needed[:, None])
    best: Floats = np.where(reached, places / relevant.ranks, 0.0).max(axis=1, initial=0.0)
    return best


def set_precision(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the share of the list that is relevant, or of what could be relevant in a list of its length."""
    most = np.minimum(relevant.listed, relevant.n_relevant) if given.relative else relevant.listed
    return _divide(relevant.n_retrieved, np.maximum(most, 1))


def set_recall(relevant: RelevantRanks, _given: Parameters) -> Floats:
    """Return the share of the relevant documents that the list holds."""
    return _divide(relevant.n_retrieved, relevant.n_relevant)


def set_f(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return (1 + beta) P R / (R + beta P) of set precision P and set recall R, as trec_eval weighs them."""
    p, r = set_precision(relevant, given), set_recall(relevant, given)
    return np.where(p * r > 0, _divide((1 + given.beta) * p * r, r + given.beta * p), 0.0)


def set_average_precision(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return set precision times set recall."""
    return set_precision(relevant, given) * set_recall(relevant, given)


def number_of_relevant(relevant: RelevantRanks, _given: Parameters) -> Floats:
    """Return how many relevant documents there are."""
    return relevant.n_relevant.astype(np.float64)


def number_retrieved(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return how many documents the list holds; with `rel`, how many relevant ones."""
    return (relevant.listed if given.rel is None else relevant.n_retrieved).astype(np.float64)


def accuracy(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the share of pairs, of a relevant and another document of the list, in which the relevant one is first."""
    found = relevant.n_within(given.cutoff)
    length = relevant.listed if given.cutoff is None else np.minimum(relevant.listed, given.cutoff)
    places = np.arange(1, relevant.ranks.shape[1] + 1)
    before = np.where(relevant.within(given.cutoff), relevant.ranks - places, 0).sum(axis=1)
    pairs = np.maximum(length - found, 0) * found
    # Where all that is listed is relevant, none is before any.
    return np.where(found > 0, 1 - _divide(before, np.maximum(pairs, 1)), 0.0)


def ndcg(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the discounted gain within the cutoff, divided by that of the ideal list."""
    gained = replace(relevant, grades=_gains(relevant.grades, given))
    best = _discounted(gained.ideal(), given.cutoff)
    # A map of gains may give none to any.
    return np.where(best > 0, _divide(_discounted(gained, given.cutoff), best), 0.0)


def _gains(grades: Floats, given: Parameters) -> Floats:
    if given.gains:
        mapped = grades.copy()
        for grade, gain in given.gains:
            mapped[grades == grade] = gain
        return mapped
    if given.dcg == "log2":
        return grades
    _refuse_above(grades, _LARGEST_EXPONENT, "nDCG(dcg='exp-log2')", "nDCG takes grades as they are")
    gains: Floats = np.exp2(grades) - 1
    return gains


def _discounted(relevant: RelevantRanks, cutoff: int | None) -> Floats:
    within = relevant.within(cutoff)
    discount = np.log2(np.where(within, relevant.ranks, 1) + 1.0)
    gain: Floats = np.where(within, relevant.grades / discount, 0.0).sum(axis=1)
    return gain


def scaled_dcg(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the discounted gain, divided by that of a list of nothing but documents of the highest grade."""
    discount = np.log2(np.arange(1, min(given.cutoff or 0, HORIZON) + 1) + 1.0)
    return _weighted(relevant, _scaled(relevant, given), 1 / discount)


def expected_reciprocal_rank(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return sum_i R_i / rank_i prod_{j < i} (1 - R_j), with R = (2^grade - 1) / 16."""
    _refuse_above(relevant.grades, _LARGEST_ERR_GRADE, "ERR", "nDCG takes any")
    satisfied = (np.exp2(relevant.grades) - 1) / 2**_LARGEST_ERR_GRADE
    reached = _left(satisfied)
    found: Floats = np.where(relevant.within(given.cutoff), satisfied * reached / relevant.ranks, 0.0).sum(axis=1)
    return found


def rank_biased_precision(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return (1 - p) sum_i gain_i p^(rank_i - 1), the gain 1 with `rel`, else the grade."""
    within = relevant.within(given.cutoff)
    weights = given.p ** np.where(within, relevant.ranks - 1, 0).astype(np.float64)
    gains = relevant.grades if given.rel is None else np.ones(relevant.grades.shape)
    gained: Floats = np.where(within, gains * weights, 0.0).sum(axis=1)
    return (1 - given.p) * gained


def insq(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the mean gain by the weights 1 / (rank + 2 T - 1)^2."""
    return _weighted(relevant, _scaled(relevant, given), _inverse_squares(given.T))


def nerr8(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the mean gain of readers who stop by gain, within the cutoff."""
    return _cascade(relevant, given, np.ones(min(given.cutoff or 0, HORIZON)))


def nerr9(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the same of readers who also go on from rank i with probability i / (i + 1)."""
    return _cascade(relevant, given, 1 / np.arange(1.0, min(given.cutoff or 0, HORIZON) + 1))


def nerr10(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the same of readers who also go on with probability p."""
    return _cascade(relevant, given, given.p ** np.arange(HORIZON, dtype=np.float64))


def nerr11(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the same of readers who also go on as those of INSQ do."""
    return _cascade(relevant, given, _inverse_squares(given.T))


def inst(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the mean gain of readers who look for a gain of T and go on less the more of it they have."""
    gains = _scaled(relevant, given)
    values = np.empty(len(gains))
    rank = np.arange(1.0, HORIZON + 1)
    for start in range(0, len(gains), _CELLS // HORIZON):
        rows = slice(start, start + _CELLS // HORIZON)
        there = relevant.ranks[rows] <= HORIZON
        dense = np.zeros((len(there), HORIZON))
        query, _ = np.nonzero(there)
        dense[query, relevant.ranks[rows][there] - 1] = gains[rows][there]
        wanted = rank + 2 * given.T - np.cumsum(dense, axis=1)
        going_on = ((wanted - 1) / wanted) ** 2
        looking = np.ones(dense.shape)
        np.cumprod(going_on[:, :-1], axis=1, out=looking[:, 1:])
        values[rows] = (looking * dense).sum(axis=1) / looking.sum(axis=1)
    return values


def bejeweled_player(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the mean gain of the documents up to the one with which a gain of T is reached, or to the cutoff."""
    last = min(given.cutoff or 0, HORIZON)
    gains = np.where(relevant.within(last), _scaled(relevant, given), 0.0)
    total = np.cumsum(gains, axis=1)
    reached = (total >= given.T) & relevant.within(last)
    read = np.where(reached, relevant.ranks, last).min(axis=1, initial=last)
    return _divide(np.where(relevant.ranks <= read[:, None], gains, 0.0).sum(axis=1), read)


def compatibility(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return the rank-biased overlap with the ideal list, divided by that of the ideal list with itself."""
    m = relevant.n_relevant
    depth = np.maximum(relevant.listed, m)
    deepest = int(depth.max(initial=0))
    if 0 < given.p < 1:
        deepest = min(deepest, int(np.ceil(np.log(_NEGLIGIBLE) / np.log(given.p))) + 1)
    weights = given.p ** np.arange(deepest, dtype=np.float64)
    # overlap[d] is what one document that both lists hold from their first place on adds down to depth d.
    overlap = np.concatenate(([0.0], np.cumsum(weights / np.arange(1, deepest + 1))))
    last = np.minimum(depth, deepest)[:, None]
    position = _ideal_positions(relevant)

    def shared(ranks: Integers, there: NDArray[np.bool_]) -> Floats:
        both = np.maximum(ranks, position)
        before = np.where(there & (both <= last), both - 1, last)
        added: Floats = (overlap[last] - overlap[before]).sum(axis=1)
        return added

    found = shared(relevant.ranks, relevant.within(None))
    if given.normalize:
        return _divide(found, shared(position, relevant.grades > 0))
    return _divide(found, np.concatenate(([0.0], np.cumsum(weights)))[last[:, 0]])


def _ideal_positions(relevant: RelevantRanks) -> Integers:
    """Return where each relevant document stands in the ideal list: by grade, then as retrieved."""
    order = np.argsort(-relevant.grades, axis=1, kind="stable")
    places = np.broadcast_to(np.arange(1, relevant.ranks.shape[1] + 1), order.shape)
    position = np.empty(order.shape, dtype=np.int64)
    np.put_along_axis(position, order, places, axis=1)
    return position


def _scaled(relevant: RelevantRanks, given: Parameters) -> Floats:
    """Return grades as gains between 0 for `min_rel` and 1 for `max_rel`."""
    gains: Floats = (np.clip(relevant.grades, given.min_rel, given.max_rel) - given.min_rel) / (
        given.max_rel - given.min_rel
    )
    return gains


def _inverse_squares(wanted: float) -> Floats:
    weights: Floats = 1 / (np.arange(HORIZON) + 2 * wanted) ** 2
    return weights


def _weighted(relevant: RelevantRanks, gains: Floats, weights: Floats) -> Floats:
    """Return the sum of the gains by the `weights` of their ranks, (ranks,), divided by the sum of all weights."""
    within = relevant.within(len(weights))
    at = weights[np.where(within, relevant.ranks, 1) - 1]
    return _divide(np.where(within, gains * at, 0.0).sum(axis=1), np.full(len(gains), weights.sum()))


def _cascade(relevant: RelevantRanks, given: Parameters, weights: Floats) -> Floats:
    """Return the mean gain where rank i is looked at with the weight of it times the 1 - gain of all before it."""
    within = relevant.within(len(weights))
    gains = np.where(within, _scaled(relevant, given), 0.0)
    before = _left(gains)
    at = np.where(within, relevant.ranks, len(weights))
    gained = np.where(within, gains * weights[at - 1] * before, 0.0).sum(axis=1)
    # Between two relevant documents the factor stays as it is.
    until = np.cumsum(weights)[at - 1]
    spans = np.diff(until, axis=1, prepend=0.0, append=weights.sum())
    factors = (
        np.concatenate((before, before[:, -1:] * (1 - gains[:, -1:])), axis=1)
        if gains.shape[1]
        else np.ones((len(gains), 1))
    )
    return _divide(gained, (spans * factors).sum(axis=1))


def _left(gains: Floats) -> Floats:
    """Return the product of 1 - gain over the documents before each one, (queries, m)."""
    left = np.ones(gains.shape)
    np.cumprod(1 - gains[:, :-1], axis=1, out=left[:, 1:])
    return left


def _refuse_above(grades: Floats, most: int, name: str, instead: str) -> None:
    highest = grades.max(initial=0)
    if highest > most:
        raise UserError(f"{name} is defined for grades up to {most}, and there is one of {highest:g}: {instead}")


def _divide(numerator: Integers | Floats, denominator: Integers | Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        quotient: Floats = np.divide(numerator, denominator, dtype=np.float64)
    return quotient
