"""What a comparison says: the verdict, the differences that are shown, and what the gate could have found."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from mlbench.collection.languages import IMAGE_KINDS, KINDS, Kind, Setting
from mlbench.compare.document import Check, ComparedSystem, Comparison, TaskComparison, Verdict
from mlbench.reports.formatting import (
    ABSENT,
    SHORT,
    Quantity,
    bounds_text,
    count,
    decimal,
    intervals,
    p_text,
    quick_look,
    sign_flip_test,
    signed,
)
from mlbench.reports.grid import POOL, Grid
from mlbench.statistics.captions import CAPTION_SCORES
from mlbench.statistics.differences import Family, Subject
from mlbench.statistics.paired_tests import Line

WORST = 10
"""How many of the worst settings are shown where the others are left out."""
SIGNIFICANT = "*"
"""The mark of a significant difference."""
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
class DifferenceText:
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
        """The difference, with a mark where it is significant."""
        return f"{self.difference}{SIGNIFICANT}" if self.verdict in ("better", "worse") else self.difference

    @property
    def verdict_text(self) -> str:
        """The verdict in words; the empty string where nothing was tested."""
        return _VERDICTS[self.verdict] if self.verdict else ""

    @property
    def size(self) -> float:
        """The difference as a number, 0 where there is none."""
        return self.line.difference or 0.0


@dataclass(frozen=True)
class DifferenceGrid:
    """The differences of all settings by pairs of languages; `significant` has those (query, column) with the mark."""

    grid: Grid
    significant: frozenset[tuple[str, str]]


def summary(task: TaskComparison) -> list[DifferenceText]:
    """Return the primary measure of each kind, and the bias scores that people look at first."""
    scores = _IMAGE_SCORES if any(line.kind in IMAGE_KINDS for line in task.tests.lines) else _SUMMARY_SCORES
    shown = [(task.tests.primary_measure, kind) for kind in KINDS] + [(name, None) for name in scores]
    found = {(each.line.name, each.line.kind): each for each in _family(task, "aggregates")}
    return [found[key] for key in shown if key in found]


def other_aggregates(task: TaskComparison) -> list[DifferenceText]:
    """Return the aggregates that do not stand in the summary."""
    seen = [each.line for each in summary(task)]
    return [each for each in _family(task, "aggregates") if each.line not in seen]


def by_language(task: TaskComparison) -> dict[str, dict[Kind, DifferenceText]]:
    """Return the primary measure of each language by kind: that of the queries, or of the captions where images ask.

    Languages are in the order of the task.
    """
    found: dict[str, dict[Kind, DifferenceText]] = {language: {} for language in task.languages}
    for each in _primary(task, "query_languages"):
        if each.line.language in found and each.line.kind is not None:
            found[each.line.language][each.line.kind] = each
    return {language: kinds for language, kinds in found.items() if kinds}


def single_settings(task: TaskComparison) -> list[DifferenceText]:
    """Return the primary measure of each single setting that has a value, the largest drop first."""
    return sorted(_primary(task, "settings"), key=lambda each: each.size)


def worst(task: TaskComparison) -> list[DifferenceText]:
    """Return the settings that lose most; none where none loses."""
    return [each for each in single_settings(task) if each.size < 0][:WORST]


def other_measures(task: TaskComparison) -> dict[str, dict[Setting, DifferenceText]]:
    """Return the single settings of each measure but the primary one."""
    found: dict[str, dict[Setting, DifferenceText]] = {}
    for each in _family(task, "settings"):
        if each.line.name != task.tests.primary_measure:
            found.setdefault(each.line.name, {})[setting_of(each.line)] = each
    return found


def difference_grid(task: TaskComparison) -> DifferenceGrid:
    """Gather the differences of all settings of texts; the pool is the largest that each language asked."""
    found = [each for each in single_settings(task) if each.line.kind not in IMAGE_KINDS]
    largest = max((len(each.line.document_languages or ()) for each in found), default=0)
    cells, pool, significant = dict[tuple[str, str], float](), dict[str, float](), set[tuple[str, str]]()
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
            significant.add((query, column))
    return DifferenceGrid(Grid(task.tests.primary_measure, task.languages, cells, pool), frozenset(significant))


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


def _family(task: TaskComparison, family: Family, name: str | None = None) -> list[DifferenceText]:
    """Return the lines of a family, or of one measure of it, in which there is something to compare."""
    pairs = zip(task.tests.lines, task.verdicts, strict=True)
    return [
        _difference(line, each)
        for line, each in pairs
        if line.family == family and name in (None, line.name) and line.difference is not None
    ]


def _primary(task: TaskComparison, family: Family) -> list[DifferenceText]:
    return _family(task, family, task.tests.primary_measure)


def _difference(line: Line, verdict: Verdict | None) -> DifferenceText:
    quantity = Quantity(line.name, line.kind)
    return DifferenceText(
        line=line,
        verdict=verdict,
        base=quantity.write(line.base),
        candidate=quantity.write(line.candidate),
        difference=signed(quantity, line.difference, beside=line.base),
        interval=bounds_text(quantity, line.interval, beside=line.base),
        p=p_text(line.adjusted.two_sided) if line.adjusted else "",
    )


LINES_LEGEND = (
    "p: one-sided against a worse candidate, adjusted over all drops and rises of the gate and over tasks; "
    "would find: the worsening that is found, or the margin that is kept to, four times of five"
)
"""What the columns of a table of gate lines mean."""
_VERDICTS: dict[Verdict, str] = {"better": "better", "not_significant": "not significant", "worse": "worse"}
# From so many query languages on, what failed is told in one line for all of them.
_MANY = 3
_DIGITS = 8
_FAILED_TOGETHER = {
    "point": "fell by more than {bound}",
    "significant": "fell significantly, and by more than {bound}",
    "non_inferior": "are not shown to have fallen by less than {bound}",
}


def verdict(comparison: Comparison) -> str:
    """Say in one word whether the gate let the candidate pass."""
    return "passed" if comparison.passed else "failed"


def headline(comparison: Comparison) -> str:
    """Say how many lines of the gate failed."""
    every = comparison.every_check
    failed = sum(not check.passed for check in every)
    if not every:
        return "the gate has no line for what was compared"
    lines = count(len(every), "gate line")
    return f"{failed:,} of {lines}" if failed else f"{lines}, none failed"


def failures(checks: Sequence[Check], escape: Escape = str) -> list[tuple[str, str]]:
    """Return task and sentence for each line that failed, means first; many query languages of a kind share one.

    Sentences are escaped, names of tasks are not.
    """
    failed = [check for check in checks if not check.passed]
    failed.sort(key=lambda check: check.subject is not None and check.subject.language is not None)
    return [sentence for _, group in groupby(failed, key=_alike) for sentence in _sentences(list(group), escape)]


def check_title(check: Check, escape: Escape = str) -> str:
    """Say what a line of the gate asks, such as `mAP mono of th queries: no significant drop beyond .005`."""
    if check.subject is None:
        return "measured on both sides"
    drop, bound = "drop" if check.subject.kind else "rise", bound_text(check.allowed)
    asked = {
        "point": f"no {drop} beyond {bound}",
        "significant": f"no significant {drop} beyond {bound}",
        "non_inferior": f"shown not to {drop} by {bound}",
        "floor": f"at least {bound}",
        "ceiling": f"at most {bound}",
        "required": "measured on both sides",
    }
    return f"{title(check.subject, escape)}: {asked[check.rule]}"


def bound_text(bound: float | None) -> str:
    """Write what a gate states, with its digits: `.005`, `6,000`; None is `·`."""
    if bound is None:
        return ABSENT
    text = f"{bound:,.6g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def check_value(check: Check, value: float | None) -> str:
    """Write a value of what a line of the gate is about; None is `·`."""
    return Quantity(check.subject.name, check.subject.kind).write(value) if check.subject else decimal(value)


def sides(task: TaskComparison, escape: Escape = str) -> str:
    """Say what was compared with what on a task."""
    base, candidate = side_names(task, escape)
    return f"{candidate} against {base}"


def side_names(task: TaskComparison, escape: Escape = str) -> tuple[str, str]:
    """Name base and candidate and how many seeds they are; where both have one name, with digits of fingerprints."""
    alike = task.candidate.spec == task.base.spec
    return _side_name(task.base, escape, alike), _side_name(task.candidate, escape, alike)


def _side_name(system: ComparedSystem, escape: Escape, alike: bool) -> str:
    seeds = [count(len(system.files), "seed")] if len(system.files) > 1 else []
    notes = [*(fingerprint[:_DIGITS] for fingerprint in system.fingerprints if alike), *seeds]
    return f"{escape(system.spec)} ({', '.join(notes)})" if notes else escape(system.spec)


def both_sides(comparison: Comparison, escape: Escape = str) -> str:
    """Say what was compared with what, where that is the same on every task; the empty string where not."""
    found = {sides(task, escape) for task in comparison.tasks}
    return next(iter(found)) if len(found) == 1 else ""


def verdict_counts(task: TaskComparison) -> list[str]:
    """Say how many single settings are better, not significant and worse: of all, then by kind; nothing without any."""
    found = single_settings(task)
    by_kind = {kind: [each for each in found if each.line.kind == kind] for kind in KINDS}
    kinds = [f"{SHORT[kind]} {_count_verdicts(each)}" for kind, each in by_kind.items() if each]
    if not found:
        return []
    return [f"{count(len(found), 'single setting')}: {_count_verdicts(found)}", *(kinds if len(kinds) > 1 else [])]


def legend(level: float) -> str:
    """Say what the mark of a difference means."""
    return f"{SIGNIFICANT} significant: adjusted p at most {bound_text(level)}"


def labels(task: TaskComparison, escape: Escape = str) -> list[str]:
    """Return what must be known of the data of a task; usually nothing."""
    shared = [f"only the languages that both sides have: {', '.join(map(escape, task.languages))}"]
    return (shared if task.shared_only else []) + ([] if task.limit is None else [quick_look(task.limit)])


def how(task: TaskComparison) -> list[str]:
    """Return in a few words each how intervals and tests were made."""
    tests = task.tests
    parts = intervals(tests.statistics)
    if tests.flips:
        parts.append(
            f"{sign_flip_test(tests.flips, exact=tests.exact)}, "
            f"adjusted within aggregates, {languages_of(task)}s and settings"
        )
    if max(tests.n_base, tests.n_candidate) > 1:
        parts.append(f"topics averaged over seeds: {tests.n_base} of the base, {tests.n_candidate} of the candidate")
    return parts


def not_compared(comparison: Comparison, escape: Escape = str) -> list[str]:
    """Say which tasks only one side has; often nothing."""
    names = ", ".join(map(escape, comparison.uncompared))
    return [f"not compared, as only one side has it: {names}"] if names else []


def _alike(check: Check) -> tuple[str, ...]:
    """Return what lines have in common that may share a sentence."""
    about = check.subject
    if about is None or about.language is None or check.rule not in _FAILED_TOGETHER:
        return check.task, check_title(check), check.rule
    return check.task, about.name, about.kind or "", check.rule, bound_text(check.allowed)


def _sentences(checks: Sequence[Check], escape: Escape) -> Iterator[tuple[str, str]]:
    first = checks[0].subject
    if first is None or len(checks) < _MANY:
        for check in checks:
            named = f"{title(check.subject, escape)} " if check.subject else ""
            yield check.task, f"{named}{escape(check.reason)}"
        return
    quantity = Quantity(first.name, first.kind)
    each = [
        f"{escape(check.subject.language or '')} {signed(quantity, check.difference, beside=check.base)}"
        for check in checks
        if check.subject
    ]
    said = _FAILED_TOGETHER[checks[0].rule].format(bound=bound_text(checks[0].allowed))
    named = f"{escape(quantity.title)} of {len(checks)} {asked_language([first.kind])}s"
    yield checks[0].task, f"{named} {said}: {', '.join(each)}"


def _count_verdicts(found: Sequence[DifferenceText]) -> str:
    verdicts = [each.verdict for each in found]
    untested = verdicts.count(None)
    parts = [f"{verdicts.count(each):,} {words}" for each, words in _VERDICTS.items() if untested < len(found)]
    return ", ".join([*parts, *([f"{untested:,} not tested"] if untested else [])])


_RULES = ("point", "significant", "non_inferior")


def power(task: TaskComparison, escape: Escape = str) -> list[str]:
    """Say what drops and rises the gate would have found, and how many of its lines can find none; no lines, no words.

    Under `non_inferior` it is the margin within which a candidate that is no worse would be shown to be.
    """
    tested = [check for check in task.checks if check.rule in _RULES]
    found = [check for check in tested if check.detectable is not None]
    blind = len(tested) - len(found)
    sentences = []
    if found:
        sizes = _listed(list(_sizes(found, escape)))
        sentences.append(
            f"power: a candidate that is no worse would be shown to be so, four times of five, within {sizes}"
            if found[0].rule == "non_inferior"
            else f"power: this data would have found, four times of five, {sizes}"
        )
    if blind:
        lines = "its only line" if len(tested) == 1 else f"{blind:,} of {count(len(tested), 'tested line')}"
        sentences.append(f"power: for {lines} there are too few clusters of topics, or too few flips, to find anything")
    return sentences


def _sizes(checks: Sequence[Check], escape: Escape) -> Iterator[str]:
    """Yield what would be found in each mean, with the range over query languages behind it or by itself."""
    rows: dict[Subject, dict[bool, list[float]]] = {}
    for check in checks:
        if check.subject is not None and check.detectable is not None:
            gone = {"family": "aggregates", "query_language": None, "document_languages": None}
            whole = check.subject.model_copy(update=gone)
            of_language = check.subject.language is not None
            rows.setdefault(whole, {}).setdefault(of_language, []).append(check.detectable)
    worsening = {True: "a drop of ", False: "a rise of "} if checks[0].rule != "non_inferior" else {True: "", False: ""}
    for subject, sizes in rows.items():
        yield f"{worsening[subject.kind is not None]}{_size(subject, sizes, escape)}"


def _size(subject: Subject, sizes: Mapping[bool, Sequence[float]], escape: Escape) -> str:
    quantity, named = Quantity(subject.name, subject.kind), title(subject, escape)
    ranges = {
        of_language: " to ".join(dict.fromkeys(quantity.write(end) for end in (min(found), max(found))))
        for of_language, found in sizes.items()
    }
    language = asked_language([subject.kind])
    if False not in ranges:
        return f"{ranges[True]} in {named} of one {language}"
    return f"{ranges[False]} in {named}" + (f" ({ranges[True]} in that of one {language})" if True in ranges else "")


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"
