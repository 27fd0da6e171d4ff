"""A comparison: the verdict of its gate and what failed, then on each task what differs and could have been found."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

import numpy as np

from mlbench.collection.language_info import language_info
from mlbench.collection.languages import IMAGE_KINDS, KINDS, Kind
from mlbench.compare.document import Check, ComparedSystem, Comparison, TaskComparison, Verdict
from mlbench.reports.colours import ColourScale
from mlbench.reports.formatting import (
    ABSENT,
    SHORT,
    Quantity,
    bounds_text,
    count,
    decimal,
    heading,
    intervals,
    listed,
    p_text,
    quick_look,
    sign_flip_test,
    signed,
    spoken,
    told_references,
)
from mlbench.reports.grid import MOST_IN_CELLS, POOL, Grid, as_matrix, grid_map
from mlbench.reports.language_groups import all_groups, best_and_worst, summary_of_groups
from mlbench.reports.report import (
    Bullets,
    Cell,
    Column,
    HeatCell,
    HeatMap,
    LanguageMap,
    MapLayer,
    Report,
    Row,
    Scalar,
    Section,
    Sentence,
    Span,
    Style,
    Table,
    Words,
    notes,
)
from mlbench.statistics.captions import CAPTION_SCORES
from mlbench.statistics.differences import Family, Subject
from mlbench.statistics.paired_tests import Line

LONGEST = 65_000
"""How many bytes of Markdown there are at most; GitHub takes comments of 65,536 characters."""
WORST = 10
"""How many settings are shown of those that lose most."""
_MOST_FAILURES = 20
# How many languages a sentence names that tells of many.
_MOST_NAMED = 10
# The share of the pairs of many languages whose differences lie within the scale of a map.
_COLOURED = 0.98
_LONGEST_NAME, _LONGEST_REASON = 80, 400
_SIGNIFICANT, _DISCOVERED = "*", "°"
_SUMMARY_SCORES = (
    "own_language_preference",
    "rank_distance",
    "rank_distance_median",
    "max_rank_norm",
)
# What stands in place of those that texts alone have.
_IMAGE_SCORES = (
    *CAPTION_SCORES,
    "rank_distance",
    "rank_distance_median",
    "language_prior",
)
_LINES_LEGEND = (
    "p: one-sided against a candidate that is worse by more than is allowed, adjusted over all drops and rises of the "
    "gate and over tasks",
    "would find: the worsening that is found, or the margin that is kept to, four times of five",
)
_VERDICTS: Mapping[Verdict, str] = {
    "better": "better",
    "not_significant": "not significant",
    "cannot_tell": "cannot tell",
    "worse": "worse",
}
_STYLES: Mapping[Verdict | None, Style] = {"better": "good", "worse": "bad"}
_COLUMNS = (
    Column("base", urgency=2),
    Column("candidate"),
    Column("difference", align="left"),
    Column("p", urgency=1),
    Column("verdict", align="left"),
)
# How many there are in a difference of 1.
_UNITS = {"thousandths": 1000, "hundredths": 100}
# From so many languages on, what failed by a rule is told in one line for all of them.
_MANY = 3
_FAILED_TOGETHER: Mapping[str, str] = {
    "point": "fell by more than {bound}",
    "significant": "fell by significantly more than {bound}",
    "non_inferior": "are not shown to have fallen by less than {bound}",
}
_DIGITS = 8
_TAILS = ("two_sided", "greater", "less")


class _Judged(NamedTuple):
    """A difference with what its test says; None where nothing was tested."""

    line: Line
    verdict: Verdict | None


def comparison_report(comparison: Comparison) -> Report:
    """Return verdict and failed lines, then differences, power and provenance by task.

    Names are cut where they are very long. As Markdown it fits into a comment on a pull request.
    """
    sides = {_sides(task) for task in comparison.tasks}
    everywhere = next(iter(sides)) if len(sides) == 1 else ()
    verdict = Section(
        title=_verdict(comparison, everywhere),
        blocks=(
            *_failed(comparison.every_check),
            Sentence(tuple(_not_compared(comparison)), style="warning"),
            *(_task(task, comparison.gate.level, () if everywhere else _sides(task)) for task in comparison.tasks),
        ),
    )
    return Report(verdict.text, (verdict,), (comparison,), records=tuple(_records(comparison)), longest=LONGEST)


def _task(task: TaskComparison, level: float, sides: tuple[Words, ...]) -> Section:
    measure, asking = heading(task.tests.primary_measure), _asking(line.kind for line in task.tests.lines)
    (summary, others), settings = _aggregates(task), _settings(task)
    worst = [each for each in settings if (each.line.difference or 0) < 0][:WORST]
    pairs = _Pairs.of(task, settings)
    many = pairs.difference.crosses and len(task.languages) > MOST_IN_CELLS
    version = f"(version {_name(task.version)}){':' if sides else ''}"
    return Section(
        title=(_name(task.task), version, *sides),
        blocks=(
            Sentence(tuple(_labels(task)), "; ", "warning"),
            _differences("Means and bias scores", summary),
            Sentence(tuple(_beside(summary)), "; ", "soft"),
            Sentence(tuple(_verdict_counts(settings, level)), "; "),
            *(_of_many(pairs, level) if many else ()),
            *_details(
                _by_language(task, f"Difference of {measure} by {asking}"), _legend(level), urgency=3, brief=not many
            ),
            *_details(_of_settings(f"Settings that lose most {measure}", worst, {}), urgency=4, brief=not many),
            *(() if many else _map_of_pairs(pairs, level)),
            *_details(_gate_lines(task.checks), *_LINES_LEGEND, urgency=6, brief=False),
            *_details(
                _differences("Measures and bias scores that are not tested", others),
                *_beside(others),
                urgency=7,
                brief=False,
            ),
            *_details(
                _of_settings(f"{measure} of all settings", [] if many else settings, {} if many else _others(task)),
                urgency=8,
                brief=False,
            ),
            _how(task, brief=many),
        ),
        urgency=1,
    )


def _details(table: Table, *legend: str, urgency: int, brief: bool = True) -> Iterator[Section]:
    """Yield a table to unfold with what its parts mean; it is in `brief` reports too. One without rows is left away."""
    if table.rows:
        blocks = (table, Sentence(legend, "; ", "soft"))
        yield Section((table.title,), blocks, "foldable" if brief else "folded", urgency=urgency)


def _verdict(comparison: Comparison, sides: tuple[Words, ...]) -> tuple[Words, ...]:
    """Say whether the gate let the candidate pass, how many of its lines failed, and what was compared with what."""
    checks = comparison.every_check
    failed, lines = sum(not check.passed for check in checks), count(len(checks), "gate line")
    told = f"{failed:,} of {lines}" if failed else f"{lines}, none failed"
    if unsure := sum(not check.can_tell for check in checks if check.passed):
        told += f", {unsure:,} cannot tell"
    told = told if checks else "the gate has no line for what was compared"
    word = Span("Passed:", "good") if comparison.passed else Span("Failed:", "bad")
    return (word, f"{told}{';' if sides else ''}", *sides)


def _not_compared(comparison: Comparison) -> Iterator[str]:
    if comparison.uncompared:
        yield f"not compared, as only one side has it: {', '.join(map(_name, comparison.uncompared))}"


def _failed(checks: Sequence[Check]) -> Iterator[Section]:
    """Yield a sentence for each line that failed, means first; many query languages of a kind share one."""
    failed = [check for check in checks if not check.passed]
    failed.sort(key=lambda check: check.subject is not None and check.subject.language is not None)
    items = [
        Sentence((Span(_name(group[0].task), "code"), told), ": ")
        for group in (list(found) for _, found in groupby(failed, key=_alike))
        for told in _failures(group)
    ]
    if items:
        first, more = Bullets(tuple(items[:_MOST_FAILURES])), Bullets(tuple(items[_MOST_FAILURES:]), most=0)
        # However many failed, there is room for what comes below.
        rest = Section(("More that failed",), (more,), titled=False, urgency=2)
        yield Section(("What failed",), (first, *([rest] if more.items else [])), titled=False)


def _alike(check: Check) -> tuple[str, ...]:
    """Return what lines have in common that may share a sentence."""
    about = check.subject
    if about is None or about.language is None or check.rule not in _FAILED_TOGETHER:
        return check.task, check_title(check), check.rule
    return check.task, about.name, about.kind or "", check.rule, bound_text(check.allowed)


def _failures(checks: Sequence[Check]) -> Iterator[str]:
    first = checks[0].subject
    if first is None or len(checks) < _MANY:
        for check in checks:
            about = f"{_title(check.subject)} " if check.subject else ""
            yield f"{about}{_cut(check.reason, _LONGEST_REASON)}"
        return
    quantity = Quantity(first.name, first.kind)
    if len(checks) > MOST_IN_CELLS:
        checks = sorted(checks, key=lambda check: abs(check.difference or 0), reverse=True)
    each = [
        f"{_name(check.subject.language or '')} {signed(quantity, check.difference, beside=check.base)}"
        for check in checks
        if check.subject
    ]
    if len(checks) > MOST_IN_CELLS:
        each[_MOST_NAMED:] = [f"and {len(each) - _MOST_NAMED:,} others"]
    said = _FAILED_TOGETHER[checks[0].rule].format(bound=bound_text(checks[0].allowed))
    yield f"{_name(quantity.title)} of {len(checks)} {_asking([first.kind])}s {said}: {', '.join(each)}"


def _labels(task: TaskComparison) -> Iterator[str]:
    """Yield what must be known of the data and the lists of a task; usually nothing."""
    if task.shared_only:
        yield f"only the languages that both sides have: {listed(list(map(_name, task.languages)), 'language')}"
    if task.limit is not None:
        yield quick_look(task.limit)
    for reason in dict.fromkeys(task.tests.untested.values()):
        names = [spoken(name) for name, other in task.tests.untested.items() if other == reason]
        yield f"bias scores are not compared ({', '.join(names)}): {reason}"
    if not any(
        line.difference or (line.interval and line.interval.low < line.interval.high) for line in task.tests.lines
    ):
        yield "base and candidate have the same values everywhere"


def _aggregates(task: TaskComparison) -> tuple[list[_Judged], list[_Judged]]:
    """Return the primary measure of each kind with the bias scores that people look at first, and the other means."""
    found = _judged(task, "aggregates")
    scores = _IMAGE_SCORES if any(line.kind in IMAGE_KINDS for line in task.tests.lines) else _SUMMARY_SCORES
    first = [(task.tests.primary_measure, kind) for kind in KINDS] + [(name, None) for name in scores]
    by_subject = {(each.line.name, each.line.kind): each for each in found}
    return [by_subject[key] for key in first if key in by_subject], [
        each for each in found if (each.line.name, each.line.kind) not in first
    ]


def _settings(task: TaskComparison) -> list[_Judged]:
    """Return the primary measure of each single setting that has a value, the largest drop first."""
    return sorted(_primary(task, "settings"), key=lambda each: each.line.difference or 0)


def _judged(task: TaskComparison, family: Family) -> list[_Judged]:
    """Return the lines of a family in which there is something to compare."""
    pairs = map(_Judged, task.tests.lines, task.verdicts)
    return [each for each in pairs if each.line.family == family and each.line.difference is not None]


def _primary(task: TaskComparison, family: Family) -> list[_Judged]:
    return [each for each in _judged(task, family) if each.line.name == task.tests.primary_measure]


def _verdict_counts(settings: Sequence[_Judged], level: float) -> Iterator[str]:
    """Say how many single settings are better, not significant and worse: of all, then by kind; nothing without any.

    Beside it how many differ where a share of the level may do so by chance.
    """
    by_kind = [(kind, [each for each in settings if each.line.kind == kind]) for kind in KINDS]
    kinds = [f"{SHORT[kind]} {_count_verdicts(found)}" for kind, found in by_kind if found]
    if settings:
        yield f"{count(len(settings), 'single setting')}: {_count_verdicts(settings)}"
    if len(kinds) > 1:
        yield from kinds
    tested = [each for each in settings if each.line.benjamini_hochberg is not None]
    if tested:
        found = sum(_is_discovered(each, level) for each in tested)
        yield f"{found:,} {'differs' if found == 1 else 'differ'} at a false discovery rate of {bound_text(level)}"


def _is_discovered(each: _Judged, level: float) -> bool:
    """Say whether a single setting differs where a share `level` of those that do may do so by chance."""
    rate = each.line.benjamini_hochberg
    return rate is not None and rate <= level


def _count_verdicts(found: Sequence[_Judged]) -> str:
    verdicts = [each.verdict for each in found]
    untested = verdicts.count(None)
    shown = [each for each in _VERDICTS if each != "cannot_tell" or each in verdicts]
    parts = [f"{verdicts.count(each):,} {_VERDICTS[each]}" for each in shown if untested < len(found)]
    return ", ".join([*parts, *([f"{untested:,} not tested"] if untested else [])])


def _differences(title: str, found: Sequence[_Judged]) -> Table:
    return Table(title, "", _COLUMNS, tuple(Row(Cell(_title(each.line)), _cells(each)) for each in found), titled=False)


def _beside(found: Sequence[_Judged]) -> list[str]:
    """Return what the bias scores among the lines are read beside."""
    return told_references((line.name, line.ideal, line.chance) for line, _ in found)


def _of_settings(title: str, found: Sequence[_Judged], others: Mapping[str, Mapping[tuple[str, ...], Line]]) -> Table:
    """Return a table of single settings, with the differences of other measures beside where there is room."""
    columns = (*_COLUMNS, *(Column(heading(name), urgency=3) for name in others), Column("BH", urgency=2))
    rows = []
    for each in found:
        beside = [lines.get(_languages(each.line)) for lines in others.values()]
        cells = (Cell(_difference(line)) if line else Cell() for line in beside)
        own = each.line.benjamini_hochberg
        rows.append(Row(Cell(_setting(each.line)), (*_cells(each), *cells, Cell("" if own is None else p_text(own)))))
    return Table(title, "setting", columns, tuple(rows), titled=False)


def _cells(each: _Judged) -> tuple[Cell, ...]:
    line, verdict = each
    quantity = Quantity(line.name, line.kind)
    return (
        Cell(quantity.write(line.base)),
        Cell(quantity.write(line.candidate)),
        Cell(_difference(line), notes(_interval(line))),
        Cell(_p(line)),
        Cell(_VERDICTS[verdict], style=_STYLES.get(verdict, "soft")) if verdict else Cell(),
    )


def _others(task: TaskComparison) -> dict[str, dict[tuple[str, ...], Line]]:
    """Return the single settings of each measure but the primary one, by their languages."""
    found: dict[str, dict[tuple[str, ...], Line]] = {}
    for line, _ in _judged(task, "settings"):
        if line.name != task.tests.primary_measure:
            found.setdefault(line.name, {})[_languages(line)] = line
    return found


def _by_language(task: TaskComparison, title: str) -> Table:
    """Return the primary measure of each language by kind: that of the queries, or of the captions where images ask."""
    found = {(each.line.language, each.line.kind): each for each in _primary(task, "query_languages")}
    kinds = [kind for kind in KINDS if any(kind == other for _, other in found)]
    columns = tuple(column for kind in kinds for column in (Column(SHORT[kind]), Column("p", urgency=1, unnamed=True)))
    rows = tuple(
        Row(Cell(_name(language)), tuple(cell for kind in kinds for cell in _with_p(found.get((language, kind)))))
        for language in task.languages
        if any((language, kind) in found for kind in kinds)
    )
    return Table(title, "language", columns, rows, titled=False, narrowest=8)


def _with_p(each: _Judged | None) -> tuple[Cell, Cell]:
    if each is None:
        return Cell(), Cell()
    line, style = each.line, _STYLES.get(each.verdict, "plain")
    return Cell(_difference(line), notes(_interval(line)), _mark(each), style), Cell(_p(line))


def _mark(each: _Judged) -> str:
    return _SIGNIFICANT if each.verdict in _STYLES else ""


def _legend_of_pairs(level: float) -> tuple[str, str]:
    return _legend(level), f"{_DISCOVERED} significant at a false discovery rate of {bound_text(level)} alone (BH)"


def _legend(level: float) -> str:
    return f"{_SIGNIFICANT} significant: adjusted p at most {bound_text(level)}"


@dataclass(frozen=True)
class _Pairs:
    """The settings of pairs of languages and of the largest pools, with grids of what differs and of both sides."""

    judged: Mapping[tuple[str, str], _Judged]
    difference: Grid
    base: Grid
    candidate: Grid

    @classmethod
    def of(cls, task: TaskComparison, settings: Sequence[_Judged]) -> "_Pairs":
        found = [each for each in settings if each.line.kind not in IMAGE_KINDS]
        largest = max((len(each.line.document_languages or ()) for each in found), default=0)
        judged: dict[tuple[str, str], _Judged] = {}
        for each in found:
            query, *documents = _languages(each.line)
            if len(documents) in (1, largest):
                judged[_name(query), _name(documents[0]) if len(documents) == 1 else POOL] = each

        def grid(value: Callable[[Line], float | None]) -> Grid:
            values = {place: value(each.line) or 0.0 for place, each in judged.items()}
            return Grid(
                task.tests.primary_measure,
                tuple(map(_name, task.languages)),
                {place: value for place, value in values.items() if place[1] != POOL},
                {query: value for (query, column), value in values.items() if column == POOL},
            )

        return cls(
            judged, grid(lambda line: line.difference), grid(lambda line: line.base), grid(lambda line: line.candidate)
        )


def _of_many(pairs: _Pairs, level: float) -> Iterator[Section]:
    """Yield what differs of many languages: by groups, the most and the least, and on pages the map of all pairs."""
    name = f"Difference of {heading(pairs.difference.measure)}"
    summary = replace(summary_of_groups(pairs.difference, _signed, named=name), titled=False)
    ends = best_and_worst(pairs.difference, _signed, ends=("best change", "worst change"), names=False)
    yield Section((summary.title,), (summary, ends), titled=False, urgency=2)
    title = f"{name} by pair of languages"
    yield Section((title,), (_language_map(pairs, title, level),), "on_pages")
    yield replace(all_groups(pairs.difference, _scale(pairs), _signed, named=name), urgency=5)


def _signed(value: float | None) -> str:
    return ABSENT if value is None else signed(Quantity("", "cross_lingual"), value)


def _language_map(pairs: _Pairs, title: str, level: float) -> LanguageMap:
    """Return the map of the differences, with both sides as other layers."""
    languages, measure = pairs.difference.languages, heading(pairs.difference.measure)
    lines = {pair: each.line for pair, each in pairs.judged.items() if each.line.interval}
    low, high = (
        as_matrix({pair: getattr(line.interval, end) for pair, line in lines.items()}, languages)
        for end in ("low", "high")
    )
    marked = as_matrix({pair: float(each.verdict in _STYLES) for pair, each in pairs.judged.items()}, languages)
    both = [*pairs.base.cells.values(), *pairs.candidate.cells.values()]

    def layer(called: str, grid: Grid, scale: ColourScale) -> MapLayer:
        pool = np.array([grid.pool.get(language, np.nan) for language in languages])
        return MapLayer(called, scale, grid.matrix, pool=pool if grid.pool else None)

    difference = layer(f"difference of {measure}", pairs.difference, _scale(pairs))
    difference = replace(difference, low=low, high=high, marked=marked == 1, signed=True)
    significant = np.where(marked == 1, difference.values, np.nan)
    return LanguageMap(
        title,
        tuple(map(language_info, languages)),
        (
            difference,
            replace(difference, name=f"significant difference of {measure}", values=significant, pool=None),
            layer(f"{measure} of the base", pairs.base, ColourScale.of(both)),
            layer(f"{measure} of the candidate", pairs.candidate, ColourScale.of(both)),
        ),
        f"{title}: blue is better, red is worse",
        legend=_legend(level),
    )


def _scale(pairs: _Pairs) -> ColourScale:
    # A few pairs that differ by much more than all others would leave these without colours.
    return ColourScale.around_zero([float(np.quantile(np.abs(list(pairs.difference.cells.values())), _COLOURED))])


def _map_of_pairs(pairs: _Pairs, level: float) -> Iterator[Section]:
    """Yield a heat map of the differences by pair of languages, red where worse and blue where better.

    Nothing where no setting is cross-lingual.
    """
    grid = pairs.difference
    if grid.crosses:
        fine, coarse = (_heat_map(grid, pairs.judged, unit, level) for unit in _UNITS)
        blocks = (replace(fine, coarser=coarse), Sentence(_legend_of_pairs(level), "; ", "soft"))
        title = f"Difference of {heading(grid.measure)} by pair of languages, in thousandths"
        yield Section((title,), blocks, "foldable", titled=False, urgency=5)


def _heat_map(grid: Grid, judged: Mapping[tuple[str, str], _Judged], unit: str, level: float) -> HeatMap:
    measure = heading(grid.measure)

    def cell(row: str, column: str) -> HeatCell:
        value, each = grid.value(row, column), judged.get((row, column))
        exact = _exact(each.line) if each else f"{row} → {column}: {decimal(value)}"
        mark = _mark(each) or _DISCOVERED * _is_discovered(each, level) if each else ""
        return HeatCell(_whole(value, _UNITS[unit]), value, exact, mark=mark)

    title = f"Difference of {measure} in {unit}: queries (rows) by documents (columns)"
    scale = ColourScale.around_zero(grid.values)
    shown = grid_map(grid, title, scale, cell, named=f"the difference of {measure}")
    return replace(shown, reason="the heat map of differences needs a wider terminal")


def _whole(value: float | None, parts: int) -> str:
    """Write a difference as a whole number of thousandths, or of other parts: `-21` for -.021; None is `·`."""
    if value is None:
        return ABSENT
    number = round(parts * value)
    return f"{number:+d}" if number else "0"


def _exact(line: Line) -> str:
    return " ".join(notes(f"{_setting(line)}: {_difference(line)}", _interval(line)))


def _gate_lines(checks: Sequence[Check]) -> Table:
    columns = (
        Column("base", urgency=2),
        Column("candidate", urgency=1),
        Column("p"),
        Column("would find", folds=True),
        Column("outcome", align="left"),
    )
    rows = []
    for check in checks:
        about = Quantity(check.subject.name, check.subject.kind) if check.subject else Quantity("", None)
        cells = (
            Cell(about.write(check.base)),
            Cell(about.write(check.candidate)),
            Cell("" if check.p is None else p_text(check.p)),
            Cell("" if check.detectable is None else about.write(check.detectable)),
            _outcome(check),
        )
        rows.append(Row(Cell(check_title(check)), cells))
    return Table("Lines of the gate", "line", columns, tuple(rows), titled=False, narrowest=56)


def _outcome(check: Check) -> Cell:
    if not check.passed:
        return Cell("failed", style="bad")
    return Cell("passed" if check.can_tell else "cannot tell", style="soft")


def check_title(check: Check) -> str:
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
    return f"{_title(check.subject)}: {asked[check.rule]}"


def bound_text(bound: float | None) -> str:
    """Write what a gate states, with its digits: `.005`, `6,000`; None is `·`."""
    if bound is None:
        return ABSENT
    text = f"{bound:,.6g}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _how(task: TaskComparison, *, brief: bool) -> Section:
    """Say what the gate would have found, and how intervals and tests were made; a `brief` one only the latter."""
    tests = task.tests
    told = intervals(tests.statistics)
    if tests.flips:
        asking = _asking(line.kind for line in tests.lines)
        told += [
            sign_flip_test(tests.flips, exact=tests.exact),
            f"adjusted within aggregates, {asking}s and settings (step-down max-T; BH: Benjamini-Hochberg)",
        ]
    if max(tests.n_base, tests.n_candidate) > 1:
        told.append(f"topics averaged over seeds: {tests.n_base} of the base, {tests.n_candidate} of the candidate")
    power = tuple(Sentence((sentence,)) for sentence in _power(task.checks))
    blocks = (Section((), power, "in_full" if brief else "always"), Sentence(tuple(told), style="soft"))
    return Section(("How it was tested",), blocks, titled=False, urgency=1)


def _power(checks: Sequence[Check]) -> Iterator[str]:
    """Say what drops and rises the gate would have found, and how many of its lines tell nothing; no lines, no words.

    Under `non_inferior` it is the margin within which a candidate that is no worse would be shown to be.
    """
    tested = [check for check in checks if check.rule in _FAILED_TOGETHER]
    found = [check for check in tested if check.detectable is not None]
    if found:
        sizes = _alternatives(list(_sizes(found)))
        yield (
            f"power: a candidate that is no worse would be shown to be so, four times of five, within {sizes}"
            if found[0].rule == "non_inferior"
            else f"power: this data would have found, four times of five, {sizes}"
        )
    unsure = sum(not check.can_tell for check in tested)
    alike = len(tested) - len(found) - unsure
    if unsure:
        yield f"power: {_some(unsure, tested)} cannot tell: too few clusters of topics, or too few flips"
    if alike:
        yield f"power: not known for {_some(alike, tested)}: base and candidate differ by the same in every cluster"


def _some(number: int, tested: Sequence[Check]) -> str:
    return "the only tested line" if len(tested) == 1 else f"{number:,} of {count(len(tested), 'tested line')}"


def _sizes(checks: Sequence[Check]) -> Iterator[str]:
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
        yield f"{worsening[subject.kind is not None]}{_size(subject, sizes)}"


def _size(subject: Subject, sizes: Mapping[bool, Sequence[float]]) -> str:
    quantity, named = Quantity(subject.name, subject.kind), _title(subject)
    ranges = {
        of_language: " to ".join(dict.fromkeys(quantity.write(end) for end in (min(found), max(found))))
        for of_language, found in sizes.items()
    }
    language = _asking([subject.kind])
    if False not in ranges:
        return f"{ranges[True]} in {named} of one {language}"
    return f"{ranges[False]} in {named}" + (f" ({ranges[True]} in that of one {language})" if True in ranges else "")


def _alternatives(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} or {parts[-1]}"


def _records(comparison: Comparison) -> Iterator[dict[str, Scalar]]:
    """Yield every line of every task, tested or not, with its numbers in full."""
    for task in comparison.tasks:
        for line, verdict in map(_Judged, task.tests.lines, task.verdicts):
            tails = {"raw": line.raw, "adjusted": line.adjusted}
            yield {
                "task": task.task,
                "version": task.version,
                "base_system": task.base.spec,
                "candidate_system": task.candidate.spec,
                "base_fingerprints": " ".join(task.base.fingerprints),
                "candidate_fingerprints": " ".join(task.candidate.fingerprints),
                "family": line.family,
                "name": line.name,
                "kind": line.kind,
                "query_language": line.query_language,
                "document_languages": " ".join(line.document_languages or ()),
                "base": line.base,
                "candidate": line.candidate,
                "difference": line.difference,
                "low": line.interval.low if line.interval else None,
                "high": line.interval.high if line.interval else None,
                **{f"p_{name}_{tail}": getattr(each, tail, None) for name, each in tails.items() for tail in _TAILS},
                "p_benjamini_hochberg": line.benjamini_hochberg,
                "verdict": verdict,
                "n_topics": line.n_topics,
                "n_clusters": line.n_clusters,
            }


def _sides(task: TaskComparison) -> tuple[Words, ...]:
    """Say what was compared with what on a task."""
    return *side(task.candidate, task.base).parts, "against", *side(task.base, task.candidate).parts


def side(system: ComparedSystem, other: ComparedSystem) -> Sentence:
    """Name one side and how many seeds it has; where the other has its name, with digits of fingerprints."""
    notes = [fingerprint[:_DIGITS] for fingerprint in system.fingerprints if system.spec == other.spec]
    notes += [count(len(system.files), "seed")] if len(system.files) > 1 else []
    return Sentence((Span(_name(system.spec), "code"), *([f"({', '.join(notes)})"] if notes else [])), " ")


def _title(subject: Subject) -> str:
    """Name what is compared: `mAP mono`, `mAP mono of th queries`, `mAP cross de → en`, `own language preference`.

    With images: `Success@1 to text of th captions`.
    """
    named = _name(Quantity(subject.name, subject.kind).title)
    if subject.family == "settings":
        return f"{named} {_setting(subject)}"
    asking = "captions" if subject.kind in IMAGE_KINDS else "queries"
    return f"{named} of {_name(subject.language)} {asking}" if subject.language else named


def _setting(subject: Subject) -> str:
    """Name a single setting: `de → en`, or `de → pool of 11`."""
    query, *documents = _languages(subject)
    return f"{_name(query)} → {_name(documents[0]) if len(documents) == 1 else f'pool of {len(documents)}'}"


def _languages(subject: Subject) -> tuple[str, ...]:
    """Return the language of the queries and those of the documents of a single setting."""
    return subject.query_language or "", *(subject.document_languages or ())


def _asking(kinds: Iterable[Kind | None]) -> str:
    """Say whose languages the rows of these kinds are about: `query language`, or `caption language`."""
    return "caption language" if any(kind in IMAGE_KINDS for kind in kinds) else "query language"


def _difference(line: Line) -> str:
    return signed(Quantity(line.name, line.kind), line.difference, beside=line.base)


def _interval(line: Line) -> str:
    return bounds_text(Quantity(line.name, line.kind), line.interval, beside=line.base)


def _p(line: Line) -> str:
    return p_text(line.adjusted.two_sided) if line.adjusted else ""


def _name(text: str) -> str:
    return _cut(text, _LONGEST_NAME)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
