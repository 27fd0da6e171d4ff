"""The differences of a comparison as text, whatever the format: which to show, and how each is named and written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlbench.contrasts import Family, Subject
from mlbench.languages import IMAGE_KINDS, KINDS, Kind, Setting
from mlbench.paired import Line
from mlbench.regression.document import TaskComparison, Verdict
from mlbench.report.pairs import POOL, Grid
from mlbench.report.sweep_rows import Quantity, p_text
from mlbench.results import Bounds
from mlbench.scoring.image_text import CAPTION_SCORES

WORST = 10
"""How many of the worst settings are shown where the others are left out."""

EXPLAINED = "*"
"""The mark of a difference that is more than topics explain."""

_SUMMARY_SCORES = (
    "own_language_preference",
    "rank_distance",
    "rank_distance_median",
    "max_rank_norm",
    "rank_distance_log2",
)
# What stands in place of those that texts alone have.
_IMAGE_SCORES = (
    *CAPTION_SCORES,
    "rank_distance",
    "rank_distance_median",
    "rank_distance_log2",
    "language_prior",
    "rank_spread",
)

Escape = Callable[[str], str]
"""Makes a name from a document harmless where it is to stand."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One line of the document as text: `·` where there is no value, empty where there is no interval or no test."""

    line: Line
    verdict: Verdict | None
    base: str
    candidate: str
    difference: str
    interval: str
    p: str

    @property
    def marked(self) -> str:
        """The difference, with its mark where it is more than topics explain."""
        return f"{self.difference}{EXPLAINED}" if self.verdict in ("better", "worse") else self.difference

    @property
    def size(self) -> float:
        """The difference as a number, 0 where there is none."""
        return self.line.difference or 0.0


@dataclass(frozen=True)
class DifferenceGrid:
    """The differences of all settings by pairs of languages; `explained` has those (query, column) with the mark."""

    grid: Grid
    explained: frozenset[tuple[str, str]]


def summary(task: TaskComparison) -> list[Difference]:
    """Return the primary measure of each kind, and the bias scores that people look at first."""
    scores = _IMAGE_SCORES if any(line.kind in IMAGE_KINDS for line in task.tests.lines) else _SUMMARY_SCORES
    shown = [(task.tests.primary_measure, kind) for kind in KINDS] + [(name, None) for name in scores]
    found = {(each.line.name, each.line.kind): each for each in _family(task, "aggregates")}
    return [found[key] for key in shown if key in found]


def other_aggregates(task: TaskComparison) -> list[Difference]:
    """Return the aggregates that do not stand in the summary."""
    seen = [each.line for each in summary(task)]
    return [each for each in _family(task, "aggregates") if each.line not in seen]


def by_language(task: TaskComparison) -> dict[str, dict[Kind, Difference]]:
    """Return the primary measure of each language by kind: that of the queries, or of the captions where images ask.

    Languages are in the order of the task.
    """
    found: dict[str, dict[Kind, Difference]] = {language: {} for language in task.languages}
    for each in _primary(task, "query_languages"):
        if each.line.language in found and each.line.kind is not None:
            found[each.line.language][each.line.kind] = each
    return {language: kinds for language, kinds in found.items() if kinds}


def single_settings(task: TaskComparison) -> list[Difference]:
    """Return the primary measure of each single setting that has a value, the largest drop first."""
    return sorted(_primary(task, "settings"), key=lambda each: each.size)


def worst(task: TaskComparison) -> list[Difference]:
    """Return the settings that lose most; none where none loses."""
    return [each for each in single_settings(task) if each.size < 0][:WORST]


def other_measures(task: TaskComparison) -> dict[str, dict[Setting, Difference]]:
    """Return the single settings of each measure but the primary one."""
    found: dict[str, dict[Setting, Difference]] = {}
    for each in _family(task, "settings"):
        if each.line.name != task.tests.primary_measure:
            found.setdefault(each.line.name, {})[setting_of(each.line)] = each
    return found


def difference_grid(task: TaskComparison) -> DifferenceGrid:
    """Gather the differences of all settings of texts; the pool is the largest that each language asked."""
    found = [each for each in single_settings(task) if each.line.kind not in IMAGE_KINDS]
    largest = max((len(each.line.document_languages or ()) for each in found), default=0)
    cells, pool, explained = dict[tuple[str, str], float](), dict[str, float](), set[tuple[str, str]]()
    for each in found:
        query, documents = each.line.query_language or "", each.line.document_languages or ()
        column = documents[0] if len(documents) == 1 else POOL
        if len(documents) == 1:
            cells[query, column] = each.size
        elif len(documents) == largest:
            pool[query] = each.size
        else:
            continue
        if each.verdict in ("better", "worse"):
            explained.add((query, column))
    return DifferenceGrid(Grid(task.tests.primary_measure, task.languages, cells, pool), frozenset(explained))


def setting_of(subject: Subject) -> Setting:
    """Return the single setting that a line is about."""
    return Setting(subject.query_language or "", subject.document_languages or ("",))


def title(subject: Subject, escape: Escape = str) -> str:
    """Name what is compared: `mAP mono`, `mAP mono of th queries`, `mAP cross de → en`, `own language preference`.

    With images: `Success@1 to text of th captions`.
    """
    named = escape(Quantity(subject.name, subject.kind).title)
    if subject.family == "settings":
        return f"{named} {setting_title(subject, escape)}"
    asking = "captions" if subject.kind in IMAGE_KINDS else "queries"
    return f"{named} of {escape(subject.language)} {asking}" if subject.language else named


def languages_of(task: TaskComparison) -> str:
    """Say whose languages the rows of a task are about."""
    return asked_language(line.kind for line in task.tests.lines)


def asked_language(kinds: Iterable[Kind | None]) -> str:
    """Say whose languages the rows of these kinds are about: `query language`, or `caption language`."""
    return "caption language" if any(kind in IMAGE_KINDS for kind in kinds) else "query language"


def setting_title(subject: Subject, escape: Escape = str) -> str:
    """Name a single setting: `de → en`, or `de → pool of 11`."""
    documents = subject.document_languages or ()
    to = escape(documents[0]) if len(documents) == 1 else f"pool of {len(documents)}"
    return f"{escape(subject.query_language or '')} → {to}"


def signed(quantity: Quantity, value: float | None, *, beside: float | None = None) -> str:
    """Write a difference with its sign, or without one where it is written as nothing but zeros."""
    text = quantity.signed(value, beside=beside)
    return text if text.strip("+-.0") else text.lstrip("+-")


def bounds_text(quantity: Quantity, bounds: Bounds | None, *, beside: float | None = None) -> str:
    """Write the interval of a difference, such as `[-.014, +.002]`; None is the empty string."""
    if bounds is None:
        return ""
    low, high = (signed(quantity, bound, beside=beside) for bound in (bounds.low, bounds.high))
    return f"[{low}, {high}]"


def _family(task: TaskComparison, family: Family, name: str | None = None) -> list[Difference]:
    """Return the lines of a family, or of one measure of it, in which there is something to compare."""
    pairs = zip(task.tests.lines, task.verdicts, strict=True)
    return [
        _difference(line, each)
        for line, each in pairs
        if line.family == family and name in (None, line.name) and line.difference is not None
    ]


def _primary(task: TaskComparison, family: Family) -> list[Difference]:
    return _family(task, family, task.tests.primary_measure)


def _difference(line: Line, verdict: Verdict | None) -> Difference:
    quantity = Quantity(line.name, line.kind)
    return Difference(
        line=line,
        verdict=verdict,
        base=quantity.write(line.base),
        candidate=quantity.write(line.candidate),
        difference=signed(quantity, line.difference, beside=line.base),
        interval=bounds_text(quantity, line.interval, beside=line.base),
        p=p_text(line.adjusted.two_sided) if line.adjusted else "",
    )
