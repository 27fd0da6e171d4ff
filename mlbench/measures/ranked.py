"""Ranked-list measures as values: their names and parameters, as ir_measures has them, and what each of them is."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlbench.errors import UnknownName, UserError
from mlbench.measures import formulas
from mlbench.measures.formulas import Formula, Parameters, RelevantRanks

Floats = NDArray[np.float64]
Value = int | float | bool | str | tuple[tuple[int, int], ...]
"""The value of a parameter; pairs are the map of `gains`."""
_LONGEST_NAME = 120
_LARGEST = 2**53
_WRITTEN = re.compile(r"\s*([^\W\d_][\w. -]*?)\s*(?:\(([^()]*)\))?\s*(?:@\s*([^@\s]+))?\s*")
_TREC = re.compile(r"(.+?)(?:[_.](?:at|cut))?[_.]([0-9][0-9.]*)")
_PAIR = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(\{[^{}]*\}|[^,{}]+?)\s*(?:,|$)")
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
# As long as Python writes numbers up to `_LARGEST`.
_FLOAT = re.compile(r"-?[0-9]{0,16}\.?[0-9]{0,21}(?:[eE][+-]?[0-9]{1,2})?")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a measure is, for people: one sentence, its formula, and where it comes from.

    It is better when higher; without a direction, values of different systems are not compared.
    """

    summary: str
    formula: str
    source: str
    direction: Literal["higher"] | None = "higher"


@dataclass(frozen=True)
class Family:
    """A measure with all its parameters: what they are by default (None where they may be left out) and their order.

    `required` are those that have to be given, `at` the one that `@` gives. Without a `formula`, ir_measures computes
    it from the list and the judgments, and no ranks tell it. `most` is the highest value that it can have. One that is
    `by_subtopic` needs judgments by subtopic.
    """

    explanation: Explanation
    parameters: Mapping[str, Value | None]
    required: tuple[str, ...] = ()
    formula: Formula | None = None
    at: str | None = "cutoff"
    most: float = 1.0
    by_subtopic: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure by its family and the parameters that are not as they are by default, in the order of the family.

    `cutoff` is None without one.
    """

    family: str
    cutoff: int | None = None
    parameters: tuple[tuple[str, Value], ...] = ()

    @property
    def name(self) -> str:
        """The canonical name, which ir_measures writes in the same way, such as `nDCG(dcg='exp-log2')@10`."""
        at = FAMILIES[self.family].at
        last = next((value for key, value in self.parameters if key == at), self.cutoff)
        inner = ",".join(f"{key}={_text(value)}" for key, value in self.parameters if key != at)
        return self.family + (f"({inner})" if inner else "") + ("" if last is None else f"@{_text(last)}")

    @property
    def is_derived(self) -> bool:
        """Whether it follows from the ranks and grades of relevant documents and the length of the list."""
        return FAMILIES[self.family].formula is not None and not dict(self.parameters).get("judged_only", False)

    @property
    def most(self) -> float:
        """The highest value that it can have; the lowest is 0."""
        # The gains of RBP are grades, unless it is told which of these are relevant.
        return np.inf if self.family == "RBP" and "rel" not in dict(self.parameters) else FAMILIES[self.family].most

    def values(self, relevant: RelevantRanks) -> Floats:
        """Return the measure of each query, float64 (queries,); NaN for a query without relevant documents.

        Where a query has some, but none of the grade that `rel` asks for, it is 0. Raises `UserError` for one that is
        not derived, and for grades that it is not defined for.
        """
        formula = FAMILIES[self.family].formula
        if formula is None or not self.is_derived:
            raise UserError(f"{self.name} does not follow from ranks: measure it with mlbench run --measure")
        usual = {key: value for key, value in FAMILIES[self.family].parameters.items() if value is not None}
        named = usual | dict(self.parameters) | {"cutoff": self.cutoff}
        named.pop("judged_only", None)
        given = Parameters(**named)  # type: ignore[arg-type]
        chosen = relevant if given.rel is None or given.rel == 1 else relevant.of_grade(given.rel)
        values = np.where(chosen.n_relevant > 0, formula(chosen, given), 0.0)
        return np.where(relevant.n_relevant > 0, values, np.nan)


@lru_cache(maxsize=4096)
def parse(name: str) -> Measure:
    """Return the measure called `name`; raises `UnknownName` with the nearest known ones, or `UserError`.

    Names are those of ir_measures, parameters included, in any case. What other tools call them is understood as well:
    mAP, MRR and recall, `map_cut_10` and `P.10` (trec_eval), `ndcg_at_10` (mteb), `hit_rate@10` (ranx), `accuracy@1`
    (Sentence Transformers).
    """
    name = name.replace("α", "alpha")
    match = _WRITTEN.fullmatch(name) if len(name) <= _LONGEST_NAME else None
    known = _family(match[1]) if match else None
    written = (match[2], match[3]) if match else (None, None)
    if match and known is None and match[2] is None and match[3] is None:
        trec = _TREC.fullmatch(match[1])
        known, written = (_family(trec[1]), (None, trec[2])) if trec else (None, written)
    if known and known.family == "RBP" and match and match[3] is None and written[1]:
        # ranx writes rbp.95 for a persistence of 0.95.
        written = f"p=0.{written[1]}", None
    if match and match[1] in REFUSED:
        raise UserError(f"measure {name!r} is not computed: {REFUSED[match[1]]}")
    if known is None:
        raise UnknownName("measure", name, EXAMPLES)
    return _measure(name, known, *written)


def explained_as(name: str) -> str:
    """Return the name in `EXPLANATIONS` for a measure, or for a family that is written without what it requires.

    Raises `UnknownName` and `UserError` as `parse` does.
    """
    known = _family(name.strip()) or _family(name.strip().removesuffix("@k"))
    return _WRITTEN_WITH_LETTERS[known.family if known else parse(name).family]


class _Known(NamedTuple):
    """A family, with the parameters that its name sets."""

    family: str
    parameters: Mapping[str, Value]


def _family(written: str) -> _Known | None:
    if written in FAMILIES:
        return _Known(written, {})
    folded = re.sub(r"[ _.-]+", "_", written).lower()
    alias = _ALIASES.get(written) or _ALIASES.get(folded)
    return alias or (_Known(_FOLDED[folded], {}) if folded in _FOLDED else None)


def _measure(name: str, known: _Known, inner: str | None, last: str | None) -> Measure:
    """Return a family's measure with what is written in brackets and behind `@`."""
    family = FAMILIES[known.family]
    given = _pairs(name, known.family, inner or "")
    if last is not None:
        if family.at is None or family.at in given:
            why = f"{known.family} has no cutoff" if family.at is None else f"it has two of {family.at}"
            raise UserError(f"measure {name!r}: {why}")
        given[family.at] = last
    values = dict(known.parameters) | {key: _value(name, key, text) for key, text in given.items()}
    missing = [key for key in family.required if key not in values]
    if missing:
        called = _CALLED.get(missing[0], missing[0])
        raise UserError(f"measure {name!r} needs a {called}: write {_written(known.family)}")
    if "max_rel" in values and _number(values["max_rel"]) <= _number(values.get("min_rel", 0)):
        raise UserError(f"measure {name!r}: max_rel must be above min_rel")
    if values.keys() >= {"gains", "dcg"}:
        raise UserError(f"measure {name!r}: give gains or dcg, which say both what a grade is worth")
    cutoff = values.pop("cutoff", None)
    kept = tuple((key, values[key]) for key, usual in family.parameters.items() if values.get(key, usual) != usual)
    return Measure(known.family, None if cutoff is None else int(_number(cutoff)), kept)


def _pairs(name: str, family: str, inner: str) -> dict[str, str]:
    """Return the parameters in brackets, as they are written."""
    given: dict[str, str] = {}
    if "".join(_PAIR.split(inner)[::3]).strip() or inner.rstrip().endswith(","):
        raise UserError(f"measure {name!r}: parameters are written as in {family}(rel=2)")
    for key, value in _PAIR.findall(inner):
        if key not in FAMILIES[family].parameters:
            raise UnknownName(f"parameter of {family}", key, FAMILIES[family].parameters)
        if key in given:
            raise UserError(f"measure {name!r}: it has two of {key}")
        given[key] = value
    return given


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _value(name: str, key: str, text: str) -> Value:
    kind = _KINDS[key]
    value = kind.read(text.strip())
    if value is None or not kind.allowed(value):
        raise UserError(f"measure {name!r}: {_CALLED.get(key, key)} must be {kind.words}, not {text[:20]}")
    return value


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _float(text: str) -> float | None:
    return float(text) if _FLOAT.fullmatch(text) and re.search("[0-9]", text.lower().partition("e")[0]) else None


def _truth(text: str) -> bool | None:
    return {"true": True, "false": False}.get(text.lower())


def _string(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _gains(text: str) -> tuple[tuple[int, int], ...] | None:
    pairs = re.findall(r"\s*([0-9]{1,7})\s*:\s*([0-9]{1,7})\s*(?:,|$)", text.strip("{}"))
    whole = re.fullmatch(r"\{(?:\s*[0-9]{1,7}\s*:\s*[0-9]{1,7}\s*(?:,(?!\s*\})|(?=\})))+\}", text)
    gains = {int(grade): int(gain) for grade, gain in pairs}
    return tuple(sorted((grade, gain) for grade, gain in gains.items() if grade != gain)) if whole else None


class _Kind(NamedTuple):
    """How the values of a parameter are read, which are allowed, and how that is said."""

    read: Callable[[str], Value | None]
    allowed: Callable[[Value], bool]
    words: str


_GRADE = _Kind(
    _integer,
    lambda value: 1 <= _number(value) <= _LARGEST,
    "a whole number from 1 on, since documents of lower grades are not relevant",
)
_POSITIVE = _Kind(_float, lambda value: 0 < _number(value) <= _LARGEST, "a number above 0")
_SHARE = _Kind(_float, lambda value: 0 <= _number(value) <= 1, "a number from 0 to 1")
_SWITCH = _Kind(_truth, lambda _: True, "True or False")
_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "cutoff": _Kind(_integer, lambda value: 1 <= _number(value) <= _LARGEST, "a whole number from 1 on"),
        "rel": _GRADE,
        "max_rel": _GRADE,
        "min_rel": _Kind(_integer, lambda value: 0 <= _number(value) <= _LARGEST, "a whole number from 0 on"),
        "p": _Kind(_float, lambda value: 0 < _number(value) < 1, "a number between 0 and 1"),
        "T": _POSITIVE,
        "beta": _POSITIVE,
        "alpha": _SHARE,
        "recall": _SHARE,
        "dcg": _Kind(_string, lambda value: value in ("log2", "exp-log2"), "'log2' or 'exp-log2'"),
        "gains": _Kind(
            _gains,
            lambda value: isinstance(value, tuple) and all(grade >= 1 for grade, _ in value),
            "a map of grades from 1 on to gains, as in {1:1,2:3}",
        ),
        "judged_only": _SWITCH,
        "relative": _SWITCH,
        "normalize": _SWITCH,
    }
)
_CALLED = {"recall": "level of recall"}
_SAMPLES = {"cutoff": "10", "recall": "0.1", "max_rel": "3"}


def _text(value: Value) -> str:
    if isinstance(value, tuple):
        return "{" + ",".join(f"{grade}:{gain}" for grade, gain in value) + "}"
    return repr(value)


def _written(family: str, samples: Mapping[str, str] = MappingProxyType(_SAMPLES)) -> str:
    """Return a name of the family with all that it requires, such as `R@10`."""
    required, at = FAMILIES[family].required, FAMILIES[family].at
    inner = ",".join(f"{key}={samples[key]}" for key in required if key != at)
    return family + (f"({inner})" if inner else "") + (f"@{samples[at]}" if at in required and at else "")


_REL: dict[str, Value | None] = {"rel": 1}
_JUDGED: dict[str, Value | None] = {"rel": 1, "judged_only": False}
_SCALE: dict[str, Value | None] = {"min_rel": 0, "max_rel": None}
_AT: dict[str, Value | None] = {"cutoff": None}
_ALPHA: dict[str, Value | None] = {"rel": 1, "alpha": 0.5, "judged_only": False}
_NOVELTY: dict[str, Value | None] = {"rel": 1, "alpha": 0.5, "beta": 0.5}
_CUT = ("cutoff",)
_CWL = "looks at the first 1,000 documents, as cwl_eval does"


def _by_subtopic(what: str, source: str, parameters: dict[str, Value | None], required: tuple[str, ...] = ()) -> Family:
    """Return a measure that ndeval computes from judgments by subtopic."""
    explanation = Explanation(
        f"For topics that were judged by subtopic: {what}.", "a mean over subtopics, as ndeval computes it", source
    )
    return Family(explanation, parameters, required, at="cutoff" if "cutoff" in parameters else None, by_subtopic=True)


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "AP": Family(
            Explanation(
                "Average precision: the mean, over the relevant documents, of the precision at each one's rank.",
                "AP = (1/m) sum_i i / rank_i over the m relevant documents in order of rank; 0 for one not retrieved; "
                "AP@k counts only rank_i <= k and still divides by m",
                "trec_eval map, map_cut; the mean over queries is mAP",
            ),
            _AT | _JUDGED,
            formula=formulas.average_precision,
        ),
        "RR": Family(
            Explanation(
                "Reciprocal rank of the first relevant document.",
                "RR = 1 / min_i rank_i; RR@k is 0 when that rank is above k",
                "trec_eval recip_rank; the mean over queries is MRR",
            ),
            _AT | _JUDGED,
            formula=formulas.reciprocal_rank,
        ),
        "R": Family(
            Explanation(
                "Recall: the share of the relevant documents that stand in the top k.",
                "R@k = |{i: rank_i <= k}| / m; its ceiling is min(k, m) / m",
                "trec_eval recall",
            ),
            _AT | _JUDGED,
            _CUT,
            formulas.recall,
        ),
        "P": Family(
            Explanation(
                "Precision: the share of the top k that is relevant; divides by k even when the pool is smaller.",
                "P@k = |{i: rank_i <= k}| / k",
                "trec_eval P",
            ),
            _AT | _JUDGED,
            _CUT,
            formulas.precision,
        ),
        "nDCG": Family(
            Explanation(
                "Normalised discounted cumulative gain, with linear gain unless dcg or gains say otherwise.",
                "nDCG@k = sum_{rank_i <= k} gain_i / log2(rank_i + 1), divided by the same sum of the ideal list; "
                "gain_i = grade_i, with dcg='exp-log2' 2^grade_i - 1, with gains={1:1,2:5} what the map gives",
                "Jarvelin & Kekalainen 2002; trec_eval ndcg, ndcg_cut; Burges et al. 2005 for exp-log2",
            ),
            _AT | {"dcg": "log2", "gains": (), "judged_only": False},
            formula=formulas.ndcg,
        ),
        "Success": Family(
            Explanation(
                "Hit rate: whether at least one relevant document stands in the top k.",
                "Success@k = 1[min_i rank_i <= k]",
                "trec_eval success; called Recall@k in image-text retrieval",
            ),
            _AT | _JUDGED,
            _CUT,
            formulas.success,
        ),
        "Rprec": Family(
            Explanation(
                "Precision at m, the number of relevant documents, which is also the recall there.",
                "Rprec = |{i: rank_i <= m}| / m",
                "Buckley & Voorhees 2005; trec_eval Rprec",
            ),
            _JUDGED,
            formula=formulas.r_precision,
            at=None,
        ),
        "IPrec": Family(
            Explanation(
                "Interpolated precision: the highest precision at which a recall of r is reached.",
                "IPrec@r = max of i / rank_i over i >= r m, rounded as trec_eval does",
                "trec_eval iprec_at_recall",
            ),
            {"recall": None} | _JUDGED,
            ("recall",),
            formulas.interpolated_precision,
            "recall",
        ),
        "ERR": Family(
            Explanation(
                "Expected reciprocal rank at which a reader is satisfied; for grades up to 4.",
                "ERR@k = sum_{rank_i <= k} R_i / rank_i prod_{j < i} (1 - R_j), R = (2^grade - 1) / 16",
                "Chapelle et al. 2009; gdeval, whose highest grade is 4",
            ),
            _AT,
            formula=formulas.expected_reciprocal_rank,
        ),
        "RBP": Family(
            Explanation(
                "Rank-biased precision: the gain of a reader who goes on to the next document with probability p.",
                "RBP = (1 - p) sum_i gain_i p^(rank_i - 1); gain_i = 1 with rel=, else grade_i as it is",
                "Moffat & Zobel 2008",
            ),
            _AT | {"p": 0.8, "rel": None},
            formula=formulas.rank_biased_precision,
        ),
        "SetP": Family(
            Explanation(
                "Precision of the whole list.",
                "SetP = |retrieved| / n for a list of n documents; with relative=True divided by min(n, m)",
                "trec_eval set_P, set_relative_P",
            ),
            _REL | {"relative": False, "judged_only": False},
            formula=formulas.set_precision,
            at=None,
        ),
        "SetR": Family(
            Explanation("Recall of the whole list.", "SetR = |retrieved| / m", "trec_eval set_recall"),
            _REL,
            formula=formulas.set_recall,
            at=None,
        ),
        "SetF": Family(
            Explanation(
                "Weighted harmonic mean of precision and recall of the whole list.",
                "SetF = (1 + beta) SetP SetR / (SetR + beta SetP)",
                "trec_eval set_F",
            ),
            _REL | {"beta": 1.0, "judged_only": False},
            formula=formulas.set_f,
            at=None,
        ),
        "SetAP": Family(
            Explanation("Precision times recall of the whole list.", "SetAP = SetP SetR", "trec_eval set_map"),
            _JUDGED,
            formula=formulas.set_average_precision,
            at=None,
        ),
        "NumRel": Family(
            Explanation(
                "How many relevant documents a query has.",
                "NumRel = m; means over queries, where ir_measures adds up",
                "trec_eval num_rel",
                None,
            ),
            _REL,
            formula=formulas.number_of_relevant,
            at=None,
            most=np.inf,
        ),
        "NumRet": Family(
            Explanation(
                "How many documents a list holds; with rel=, how many relevant ones.",
                "NumRet = n, NumRet(rel=1) = |retrieved|; means over queries, where ir_measures adds up",
                "trec_eval num_ret, num_rel_ret",
                None,
            ),
            {"rel": None},
            formula=formulas.number_retrieved,
            at=None,
            most=np.inf,
        ),
        "Accuracy": Family(
            Explanation(
                "How often a relevant document of the list stands before one that is not relevant.",
                "Accuracy = 1 - sum_i (rank_i - i) / (r (n - r)) over the r relevant of n listed documents; 0 where "
                "r is 0, for which ir_measures has no value",
                "ir_measures",
            ),
            _AT | _REL,
            formula=formulas.accuracy,
        ),
        "Compat": Family(
            Explanation(
                "Compatibility: rank-biased overlap of the list with the ideal one.",
                "sum_d p^(d-1) |top d of both| / d, divided by the same of the ideal list with itself, unless "
                "normalize=False",
                "Clarke, Vtyurina & Smucker 2021",
            ),
            {"p": 0.95, "normalize": True},
            formula=formulas.compatibility,
            at=None,
        ),
        "SDCG": Family(
            Explanation(
                "Scaled DCG: nDCG as if at least k documents of the highest grade existed.",
                "SDCG@k = sum_{rank_i <= k} gain_i / log2(rank_i + 1), divided by sum_{i <= k} 1 / log2(i + 1); gain = "
                "(grade - min_rel) / (max_rel - min_rel), between 0 and 1",
                f"Moffat & Zobel 2008; {_CWL}",
            ),
            _AT | {"dcg": "log2"} | _SCALE,
            ("max_rel", "cutoff"),
            formulas.scaled_dcg,
        ),
        "BPM": Family(
            Explanation(
                "Bejeweled player: the mean gain up to where a gain of T is reached, or to k.",
                "BPM@k = (1/s) sum_{rank_i <= s} gain_i, s the smaller of k and the first rank with a total gain of T",
                f"Zhang et al. 2017, the static model; {_CWL}",
            ),
            _AT | {"T": 1.0} | _SCALE,
            ("max_rel", "cutoff"),
            formulas.bejeweled_player,
        ),
        "INST": Family(
            Explanation(
                "Mean gain of a reader who looks for a gain of T, and goes on less the more of it is found.",
                "mean gain by the weights prod_{j < i} ((j + 2 T - G_j - 1) / (j + 2 T - G_j))^2, with the gain G_j of "
                "all ranks down to j",
                f"Bailey et al. 2015; {_CWL}",
            ),
            {"T": 1.0} | _SCALE,
            ("max_rel",),
            formulas.inst,
            None,
        ),
        "INSQ": Family(
            Explanation(
                "Mean gain of a reader who looks for a gain of T.",
                "mean gain by the weights 1 / (rank + 2 T - 1)^2",
                f"Moffat, Scholer & Thomas 2012; {_CWL}",
            ),
            {"T": 1.0} | _SCALE,
            ("max_rel",),
            formulas.insq,
            None,
        ),
        "NERR8": Family(
            Explanation(
                "Nearly ERR: mean gain of a reader who stops by gain, and at k.",
                "mean gain by the weights prod_{j < i} (1 - gain_j) for i <= k",
                f"Azzopardi, Mackenzie & Moffat 2021, equation 8; {_CWL}",
            ),
            _AT | _SCALE,
            ("max_rel", "cutoff"),
            formulas.nerr8,
        ),
        "NERR9": Family(
            Explanation(
                "NERR8 of a reader who also goes on from rank i with probability i / (i + 1).",
                "mean gain by the weights (1 / i) prod_{j < i} (1 - gain_j) for i <= k",
                f"Azzopardi, Mackenzie & Moffat 2021, equation 9; {_CWL}",
            ),
            _AT | _SCALE,
            ("max_rel", "cutoff"),
            formulas.nerr9,
        ),
        "NERR10": Family(
            Explanation(
                "NERR8 of a reader who also goes on with probability p, without an end at k.",
                "mean gain by the weights p^(i - 1) prod_{j < i} (1 - gain_j)",
                f"Azzopardi, Mackenzie & Moffat 2021, equation 10; {_CWL}",
            ),
            {"p": 0.9} | _SCALE,
            ("max_rel",),
            formulas.nerr10,
            None,
        ),
        "NERR11": Family(
            Explanation(
                "NERR8 of a reader who also goes on as one of INSQ does, without an end at k.",
                "mean gain by the weights (i + 2 T - 1)^-2 prod_{j < i} (1 - gain_j)",
                f"Azzopardi, Mackenzie & Moffat 2021, equation 12; {_CWL}",
            ),
            {"T": 1.0} | _SCALE,
            ("max_rel",),
            formulas.nerr11,
            None,
        ),
        "Bpref": Family(
            Explanation(
                "Binary preference: how few documents judged not relevant stand before relevant ones.",
                "(1/m) sum_i 1 - min(judged not relevant before i, m) / min(m, judged not relevant)",
                "Buckley & Voorhees 2004; trec_eval bpref",
            ),
            _REL,
            at=None,
        ),
        "infAP": Family(
            Explanation(
                "Inferred AP: AP where judgments are a sample, of which those below 0 were not judged.",
                "expected precision at each relevant document, from the share of judged ones before it",
                "Yilmaz & Aslam 2006; trec_eval infAP",
            ),
            _REL,
            at=None,
        ),
        "Judged": Family(
            Explanation(
                "The share of the top k that is judged, relevant or not.",
                "Judged@k = judged of the top k / k",
                "ir_measures",
                None,
            ),
            _AT,
        ),
        "ERR_IA": _by_subtopic("ERR", "Chapelle et al. 2009, intent-aware", _AT | _JUDGED, ("cutoff",)),
        "nERR_IA": _by_subtopic("ERR, normalised by that of the ideal list", "ndeval", _AT | _JUDGED, ("cutoff",)),
        "alpha_DCG": _by_subtopic(
            "DCG of which what a subtopic has had already is worth less",
            "Clarke et al. 2008",
            _AT | _ALPHA,
            ("cutoff",),
        ),
        "alpha_nDCG": _by_subtopic(
            "alpha_DCG, divided by that of the ideal list", "Clarke et al. 2008", _AT | _ALPHA, ("cutoff",)
        ),
        "NRBP": _by_subtopic("RBP of novelty", "Clarke, Kolla & Vechtomova 2009", _NOVELTY),
        "nNRBP": _by_subtopic("NRBP, divided by that of the ideal list", "Clarke, Kolla & Vechtomova 2009", _NOVELTY),
        "AP_IA": _by_subtopic("AP", "Agrawal et al. 2009", _JUDGED),
        "P_IA": _by_subtopic("P", "Agrawal et al. 2009", _AT | _JUDGED, ("cutoff",)),
        "StRecall": _by_subtopic(
            "the share of the subtopics that the top k covers", "Zhai, Cohen & Lafferty 2003", _AT | _REL, ("cutoff",)
        ),
    }
)
"""All that ir_measures knows by name, but for the measures of `REFUSED`."""
REFUSED: Mapping[str, str] = MappingProxyType({"NumQ": "n_queries stands beside every mean"})
"""Names of ir_measures that mean nothing here, with the reason."""
_FOLDED = {name.lower(): name for name in FAMILIES if name != "Accuracy"}
_ALIASES: Mapping[str, _Known] = MappingProxyType(
    {
        alias: _Known(family, {})
        for family, aliases in {
            "AP": "map average_precision",
            "RR": "mrr recip_rank reciprocal_rank",
            "R": "recall",
            "P": "precision prec",
            "nDCG": "ndcg_linear",
            "Success": "hit_rate hitrate hit hr accuracy top_k_accuracy",
            "Rprec": "r_prec r_precision",
            "IPrec": "iprec_at_recall",
            "SetP": "set_p",
            "SetR": "set_recall set_r",
            "SetF": "set_f",
            "SetAP": "set_map set_ap",
            "NumRel": "num_rel",
            "NumRet": "num_ret",
            "Bpref": "bpref",
            "AP_IA": "map_ia",
            "StRecall": "strec strecall",
        }.items()
        for alias in aliases.split()
    }
    | {
        "setrelp": _Known("SetP", {"relative": True}),
        "set_relative_p": _Known("SetP", {"relative": True}),
        "numrelret": _Known("NumRet", {"rel": 1}),
        "num_rel_ret": _Known("NumRet", {"rel": 1}),
        "ndcg_burges": _Known("nDCG", {"dcg": "exp-log2"}),
        "ndcg_exp": _Known("nDCG", {"dcg": "exp-log2"}),
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
    *(_written(name) for name in FAMILIES if name not in ("AP", "RR", "R", "P", "nDCG", "Success")),
)
"""Names that `parse` understands; any cutoff of at least 1 may stand in place of theirs."""
_WRITTEN_WITH_LETTERS = {name: _written(name, {"cutoff": "k", "recall": "r", "max_rel": "g"}) for name in FAMILIES}
EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {_WRITTEN_WITH_LETTERS[name]: family.explanation for name, family in FAMILIES.items()}
)
"""What each family of measures is, by the name people write; families without `@k` also take a cutoff."""
