"""Ranked-list measures as values, computed from the ranks of the relevant documents alone."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlbench.errors import UnknownName, UserError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_NAME = re.compile(r"([A-Za-z]+)(?: ?@ ?([1-9][0-9]*))?")
_ALIASES = {"MAP": "AP", "mAP": "AP", "MRR": "RR", "NDCG": "nDCG", "Recall": "R", "Precision": "P"}
_LONGEST_NAME = 60
UNRETRIEVED = int(np.iinfo(np.int64).max)
"""The rank of a relevant document that was not retrieved, or is missing from the corpus."""


@dataclass(frozen=True, eq=False)
class RelevantRanks:
    """The ranks of each query's relevant documents in one setting.

    `ranks` is int64 (queries, m), ascending in each row, 1 for the first document of the list; `grades` is int64
    (queries, m) beside it, 0 where a row has fewer than m relevant documents (the rank there is `UNRETRIEVED`).
    """

    ranks: Integers
    grades: Integers

    @property
    def n_relevant(self) -> Integers:
        """How many relevant documents each query has, retrieved or not; int64 (queries,)."""
        counts: Integers = np.count_nonzero(self.grades, axis=1)
        return counts

    def ideal(self) -> "RelevantRanks":
        """Return what the best possible list gives: the relevant documents at the top, highest grades first."""
        grades = -np.sort(-self.grades, axis=1)
        places = np.broadcast_to(np.arange(1, grades.shape[1] + 1), grades.shape)
        return RelevantRanks(np.where(grades > 0, places, UNRETRIEVED), grades)


def relevant_ranks(query: ArrayLike, rank: ArrayLike, grade: ArrayLike, n_queries: int) -> RelevantRanks:
    """Gather flat rows (query index, rank, grade), one for each relevant document, into a `RelevantRanks`.

    The three arrays are integers of shape (rows,); grades are at least 1. No rows give m = 0.
    """
    rows, ranks, grades = (np.asarray(values, dtype=np.int64) for values in (query, rank, grade))
    order = np.lexsort((-grades, ranks, rows))
    rows, ranks, grades = rows[order], ranks[order], grades[order]
    per_query = np.bincount(rows, minlength=n_queries)
    first = np.cumsum(per_query) - per_query
    column = np.arange(len(rows)) - first[rows]
    shape = (n_queries, int(per_query.max(initial=0)))
    padded_ranks, padded_grades = np.full(shape, UNRETRIEVED), np.zeros(shape, dtype=np.int64)
    padded_ranks[rows, column], padded_grades[rows, column] = ranks, grades
    return RelevantRanks(padded_ranks, padded_grades)


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure by its canonical name (as in ir_measures), such as `R@10`; `cutoff` is None without one."""

    family: str
    cutoff: int | None = None

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.family if self.cutoff is None else f"{self.family}@{self.cutoff}"

    def values(self, relevant: RelevantRanks) -> Floats:
        """Return the measure of each query, float64 (queries,); NaN for a query without relevant documents."""
        within = relevant.ranks <= (UNRETRIEVED - 1 if self.cutoff is None else self.cutoff)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = _FAMILIES[self.family].values(relevant, within, self.cutoff or 0)
        return np.where(relevant.n_relevant > 0, values, np.nan)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a measure is, for people: one sentence, its formula, and where it comes from.

    It is better when higher; without a direction, values of different systems are not compared.
    """

    summary: str
    formula: str
    source: str
    direction: Literal["higher"] | None = "higher"


@dataclass(frozen=True, slots=True)
class _Family:
    values: Callable[[RelevantRanks, NDArray[np.bool_], int], Floats]
    needs_cutoff: bool
    explanation: Explanation


def parse(name: str) -> Measure:
    """Return the measure called `name`; raises `UnknownName` with the nearest known ones, or `UserError`.

    Names are those of ir_measures, common aliases (mAP, MRR, NDCG, Recall, Precision) among them.
    """
    if len(name) > _LONGEST_NAME:
        raise UnknownName("measure", name, EXAMPLES)
    match = _NAME.fullmatch(name)
    family = _ALIASES.get(match[1], match[1]) if match else ""
    if match is None or family not in _FAMILIES:
        raise UnknownName("measure", name, EXAMPLES)
    if match[2] is None:
        if _FAMILIES[family].needs_cutoff:
            raise UserError(f"measure {name!r} needs a cutoff: write {family}@10")
        return Measure(family)
    cutoff = int(match[2])
    if cutoff >= UNRETRIEVED:
        raise UnknownName("measure", name, EXAMPLES)
    return Measure(family, cutoff)


def _average_precision(relevant: RelevantRanks, within: NDArray[np.bool_], _cutoff: int) -> Floats:
    places = np.arange(1, relevant.ranks.shape[1] + 1)
    return _divide(np.where(within, places / relevant.ranks, 0.0).sum(axis=1), relevant.n_relevant)


def _reciprocal_rank(relevant: RelevantRanks, within: NDArray[np.bool_], _cutoff: int) -> Floats:
    best: Floats = np.where(within, 1 / relevant.ranks, 0.0).max(axis=1, initial=0.0)
    return best


def _recall(relevant: RelevantRanks, within: NDArray[np.bool_], _cutoff: int) -> Floats:
    return _divide(np.count_nonzero(within, axis=1), relevant.n_relevant)


def _precision(_relevant: RelevantRanks, within: NDArray[np.bool_], cutoff: int) -> Floats:
    return _divide(np.count_nonzero(within, axis=1), np.full(len(within), cutoff))


def _success(_relevant: RelevantRanks, within: NDArray[np.bool_], _cutoff: int) -> Floats:
    hits: Floats = np.any(within, axis=1).astype(np.float64)
    return hits


def _ndcg(relevant: RelevantRanks, within: NDArray[np.bool_], cutoff: int) -> Floats:
    ideal = relevant.ideal()
    ideal_within = ideal.ranks <= (cutoff or UNRETRIEVED - 1)
    return _divide(_gain(relevant, within), _gain(ideal, ideal_within))


def _gain(relevant: RelevantRanks, within: NDArray[np.bool_]) -> Floats:
    discount = np.log2(np.where(within, relevant.ranks, 1) + 1.0)
    gain: Floats = np.where(within, relevant.grades / discount, 0.0).sum(axis=1)
    return gain


def _divide(numerator: NDArray[np.int64] | Floats, denominator: NDArray[np.int64] | Floats) -> Floats:
    quotient: Floats = np.divide(numerator, denominator, dtype=np.float64)
    return quotient


_FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "AP": _Family(
            _average_precision,
            False,
            Explanation(
                "Average precision: the mean, over the relevant documents, of the precision at each one's rank.",
                "AP = (1/m) sum_i i / rank_i over the m relevant documents in order of rank; 0 for one not retrieved; "
                "AP@k counts only rank_i <= k and still divides by m",
                "trec_eval map, map_cut; the mean over queries is mAP",
            ),
        ),
        "RR": _Family(
            _reciprocal_rank,
            False,
            Explanation(
                "Reciprocal rank of the first relevant document.",
                "RR = 1 / min_i rank_i; RR@k is 0 when that rank is above k",
                "trec_eval recip_rank; the mean over queries is MRR",
            ),
        ),
        "R": _Family(
            _recall,
            True,
            Explanation(
                "Recall: the share of the relevant documents that stand in the top k.",
                "R@k = |{i: rank_i <= k}| / m; its ceiling is min(k, m) / m",
                "trec_eval recall",
            ),
        ),
        "P": _Family(
            _precision,
            True,
            Explanation(
                "Precision: the share of the top k that is relevant; divides by k even when the pool is smaller.",
                "P@k = |{i: rank_i <= k}| / k",
                "trec_eval P",
            ),
        ),
        "nDCG": _Family(
            _ndcg,
            False,
            Explanation(
                "Normalised discounted cumulative gain, with linear gain.",
                "nDCG@k = sum_{rank_i <= k} grade_i / log2(rank_i + 1), divided by the same sum of the ideal list",
                "Jarvelin & Kekalainen 2002; trec_eval ndcg, ndcg_cut",
            ),
        ),
        "Success": _Family(
            _success,
            True,
            Explanation(
                "Hit rate: whether at least one relevant document stands in the top k.",
                "Success@k = 1[min_i rank_i <= k]",
                "trec_eval success; called Recall@k in image-text retrieval",
            ),
        ),
    }
)
EXAMPLES: tuple[str, ...] = (
    "AP",
    "AP@20",
    "RR",
    "RR@10",
    "R@1",
    "R@10",
    "R@100",
    "P@10",
    "nDCG",
    "nDCG@10",
    "Success@1",
    "Success@10",
)
"""Names that `parse` understands; any cutoff of at least 1 may stand in place of theirs."""
EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {(f"{name}@k" if family.needs_cutoff else name): family.explanation for name, family in _FAMILIES.items()}
)
"""What each family of measures is, by the name people write; families without `@k` also take a cutoff."""
