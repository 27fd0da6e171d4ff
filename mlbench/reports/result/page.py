"""Results as one HTML page that needs nothing else: no script, no font, no request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from mlbench.collection.languages import KINDS
from mlbench.reports.captions import CaptionTable, caption_table, captions
from mlbench.reports.colours import ColourScale, css
from mlbench.reports.formatting import (
    MEDIAN,
    decimal,
    heading,
    headline,
    interval,
    intervals,
    no_bias,
    other_scores,
    pool_kind,
    quick_look,
    score_ends,
    score_interval,
    score_references,
    score_value,
    spoken,
    two_digits,
    written,
)
from mlbench.reports.grid import MEAN, POOL, Grid, grid, shown_measure
from mlbench.reports.html import render_page
from mlbench.reports.provenance import Facts, command, provenance, verification
from mlbench.reports.result.console import ceiling, details, ordered_measures, partial
from mlbench.reports.result.tables import BEST, MEANS, ScoreTable, compare
from mlbench.results import BiasResult, Result

_HEIGHT, _NARROWEST, _LETTER, _GAP = 30, 46, 8, 10
_LEGEND_STEPS, _LEGEND_STEP = 24, 6
_LONGEST = 14
_FONT = "font: 13px system-ui, sans-serif"


def heat_map_svg(grid: Grid) -> str:
    """Return an `<svg>` element: query languages as rows, document languages and the pool as columns.

    A cell has its value in two digits on a colour that any colour vision can read, and the exact number with its
    interval as a tooltip; the element as a whole has a text alternative. Labels have the colour of the text around.
    Everything from the grid is escaped.
    """
    scale = ColourScale.of(grid.values)
    frame = _Frame.of(grid)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{frame.width}" height="{frame.height}"'
        f' viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(alternative(grid))}"'
        f' style="{_FONT}" fill="currentColor">',
        *_labels(grid, frame),
        *(_cell(grid, frame, scale, row, column) for row in range(len(grid.languages)) for column in _range(grid)),
        *_legend(scale, frame),
        "</svg>",
    ]
    return "".join(parts)


def alternative(grid: Grid) -> str:
    """Return what the map shows in words: its axes, the extremes and where they are."""
    name = heading(grid.measure)
    values = [
        (value, f"{a} queries in {'the pool' if b == POOL else f'{b} documents'}")
        for a in grid.languages
        for b in grid.columns
        if (value := grid.value(a, b)) is not None
    ]
    if not values:
        return f"Heat map of {name} without values"
    (low, lowest), (high, highest) = min(values), max(values)
    return (
        f"Heat map of {name} by query language (rows) and document language (columns): "
        f"lowest {decimal(low)} for {lowest}, highest {decimal(high)} for {highest}; all values are in the table below"
    )


@dataclass(frozen=True)
class _Frame:
    """Where everything stands, in pixels."""

    left: int
    top: int
    cell: int
    rows: int
    columns: int
    pool: bool

    @classmethod
    def of(cls, grid: Grid) -> "_Frame":
        longest = max((len(_label(each)) for each in grid.languages), default=0) * _LETTER + 12
        return cls(
            max(longest, 64), 44, max(longest, _NARROWEST), len(grid.languages), len(grid.columns), bool(grid.pool)
        )

    @property
    def width(self) -> int:
        return self.x(self.columns)

    @property
    def height(self) -> int:
        return self.y(self.rows) + _HEIGHT

    def x(self, column: int) -> int:
        apart = _GAP if self.pool and column >= self.columns - 1 else 0
        return self.left + column * self.cell + apart

    def y(self, row: int) -> int:
        return self.top + row * _HEIGHT


def _label(name: str) -> str:
    """Cut what would push the map out of sight; the tooltips have it whole."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _range(grid: Grid) -> range:
    return range(len(grid.columns))


def _labels(grid: Grid, frame: _Frame) -> Iterator[str]:
    yield f'<text x="{frame.left}" y="14" opacity=".7">documents</text>'
    yield f'<text x="{frame.left - 8}" y="36" text-anchor="end" opacity=".7">queries</text>'
    for place, column in enumerate(grid.columns):
        middle = frame.x(place) + frame.cell // 2
        yield f'<text x="{middle}" y="36" text-anchor="middle" font-weight="600">{escape(_label(column))}</text>'
    for place, row in enumerate(grid.languages):
        y = frame.y(place) + 20
        yield f'<text x="{frame.left - 8}" y="{y}" text-anchor="end" font-weight="600">{escape(_label(row))}</text>'


def _cell(grid: Grid, frame: _Frame, scale: ColourScale, row: int, column: int) -> str:
    a, b = grid.languages[row], grid.columns[column]
    value, bounds = grid.value(a, b), grid.interval(a, b)
    interval = f" [{decimal(bounds.low, 4)}, {decimal(bounds.high, 4)}]" if bounds else ""
    exact = "no value" if value is None else f"{heading(grid.measure)} {decimal(value, 4)}{interval}"
    title = f"<title>{escape(f'{a} queries, {b} documents: {exact}')}</title>"
    x, y, middle = frame.x(column), frame.y(row), frame.x(column) + frame.cell // 2
    fill, ink = ("none", "currentColor") if value is None else (css(scale.colour(value)), css(scale.ink(value)))
    # A line inside the cell marks where a language meets itself.
    own = f'<rect x="{x + 2}" y="{y + 2}" width="{frame.cell - 5}" height="{_HEIGHT - 5}" fill="none" stroke="{ink}"/>'
    return (
        f'<g>{title}<rect x="{x}" y="{y}" width="{frame.cell - 1}" height="{_HEIGHT - 1}" fill="{fill}"/>'
        f"{own if a == b else ''}"
        f'<text x="{middle}" y="{y + 20}" text-anchor="middle" fill="{ink}">{two_digits(value)}</text></g>'
    )


def _legend(scale: ColourScale, frame: _Frame) -> Iterator[str]:
    y, x = frame.y(frame.rows) + 10, frame.left
    yield f'<text x="{x - 8}" y="{y + 11}" text-anchor="end">{two_digits(scale.low)}</text>'
    for step in range(_LEGEND_STEPS):
        colour = css(scale.colour(scale.low + (scale.high - scale.low) * step / (_LEGEND_STEPS - 1)))
        yield f'<rect x="{x}" y="{y}" width="{_LEGEND_STEP + 1}" height="14" fill="{colour}"/>'
        x += _LEGEND_STEP
    yield f'<text x="{x + 8}" y="{y + 11}">{two_digits(scale.high)}</text>'


@dataclass(frozen=True)
class PageNumber:
    """A number as it is shown: below it in small letters what limits it, behind it a bar of `share` (0 to 1)."""

    text: str
    note: str = ""
    share: float | None = None
    best: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table of numbers: `caption` for those who hear it, titles of the columns but the first, and labelled rows."""

    caption: str
    first: str
    titles: Sequence[str]
    rows: Sequence[tuple[str, Sequence[PageNumber]]]


@dataclass(frozen=True)
class ResultSection:
    """All that the page says of one result."""

    anchor: str
    result: Result
    details: Sequence[str]
    intervals: Sequence[str]
    measure: str
    partial: str
    headline: Sequence[tuple[str, PageNumber]]
    no_bias: str
    means: PageTable
    svg: str
    pairs: PageTable | None
    captions: CaptionTable | None
    languages: PageTable | None
    scores: Sequence[Sequence[str]]
    provenance: Sequence[Facts]
    command: str
    recorded: bool
    verification: str


def html_report(results: Sequence[Result], *, measure: str | None = None) -> str:
    """Return the page; several results begin with a table across them.

    `measure` is the one of heat map and languages, by default the primary one of each task; raises `UnknownName` when
    a result does not have it. Everything that comes from a result is escaped.
    """
    sections = [_section(place, result, measure) for place, result in enumerate(results, 1)]
    across = _across(compare(results, measure=measure)) if len(results) > 1 else None
    return render_page("report.html", sections=sections, across=across, best=BEST, means=MEANS, quick_look=quick_look)


def _section(place: int, result: Result, asked: str | None) -> ResultSection:
    measure = shown_measure(result, asked)
    pairs, images = grid(result, measure), captions(result, asked)
    return ResultSection(
        anchor=f"result-{place}",
        result=result,
        details=details(result),
        intervals=intervals(result.statistics),
        measure=heading(measure),
        partial=partial(result),
        headline=list(_headline(result)),
        no_bias="" if result.bias else no_bias(result),
        means=_means(result),
        svg=heat_map_svg(pairs) if pairs.crosses and not images else "",
        pairs=_pairs(pairs) if pairs.crosses and not images else None,
        captions=caption_table(images) if images else None,
        languages=None if images else _languages(result, measure),
        scores=[_score(score) for score in other_scores(result)],
        provenance=provenance(result),
        command=command(result),
        recorded=result.environment.command is not None,
        verification=verification(result),
    )


def _across(comparison: ScoreTable) -> PageTable:
    names = [f"{retriever} on {task}" for retriever, task in zip(comparison.retrievers, comparison.tasks, strict=True)]
    columns = [[PageNumber(cell.text, best=cell.best) for cell in column.cells] for column in comparison.columns]
    return PageTable(
        "All results",
        "retriever and task",
        [f"{spoken(column.group)} {column.title}".strip() for column in comparison.columns],
        list(zip(names, zip(*columns, strict=True), strict=True)) if columns else [],
    )


def _headline(result: Result) -> Iterator[tuple[str, PageNumber]]:
    pool = result.aggregate(pool_kind(result))
    if pool is not None:
        yield (
            "mAP of the pool",
            PageNumber(decimal(pool.measures.get("AP")), interval(pool.intervals.get("AP")).strip()),
        )
    for name in headline(result):
        score = result.bias.score(name) if result.bias else None
        if score is not None and name != MEDIAN:
            notes = [score_interval(score), score_references(score)]
            median = result.bias.score(MEDIAN) if result.bias and name == "rank_distance" else None
            notes += [f"median {score_value(median)}"] if median else []
            yield spoken(name), PageNumber(score_value(score), ", ".join(note for note in notes if note))


def _means(result: Result) -> PageTable:
    measures = ordered_measures(result)
    return PageTable(
        "Means of each kind of settings",
        "settings",
        [heading(measure) for measure in measures],
        [
            (
                f"{spoken(row.kind)} ({row.n_settings})",
                [
                    PageNumber(
                        f"{decimal(row.measures.get(measure))}{ceiling(row, measure)}",
                        interval(row.intervals.get(measure)).strip(),
                    )
                    for measure in measures
                ],
            )
            for row in map(result.aggregate, KINDS)
            if row is not None
        ],
    )


def _pairs(grid: Grid) -> PageTable:
    columns = [*grid.languages, MEAN, *([POOL] if grid.pool else [])]
    return PageTable(
        f"{heading(grid.measure)} by query language (rows) and document language (columns)",
        "query language",
        columns,
        [(row, [PageNumber(two_digits(grid.value(row, each))) for each in columns]) for row in (*grid.languages, MEAN)],
    )


def _languages(result: Result, measure: str) -> PageTable:
    """Return the means of each query language, and the bias scores that have a value for each."""
    kinds = [kind for kind in KINDS if result.aggregate(kind)]
    found = [result.bias.score(name) if result.bias else None for name in headline(result)]
    scores = [score for score in found if score is not None and score.rows_by == "query_language"]
    rows = []
    for language in result.task.languages:
        numbers = []
        for kind in kinds:
            mean = result.aggregate(kind, query_language=language)
            value = mean.measures.get(measure) if mean else None
            note = interval(mean.intervals.get(measure)).strip() if mean else ""
            numbers.append(PageNumber(decimal(value), note, share=value))
        rows.append((language, [*numbers, *(_of(score, language) for score in scores)]))
    return PageTable(
        f"{heading(measure)} and bias scores by query language",
        "query language",
        [*map(spoken, kinds), *(spoken(score.name) for score in scores)],
        rows,
    )


def _of(score: BiasResult, language: str) -> PageNumber:
    value = next((row.value for row in score.rows if row.language == language), None)
    return PageNumber(written(score.name, value))


def _score(score: BiasResult) -> list[str]:
    return [
        score.name,
        score_value(score),
        score_interval(score),
        score_references(score),
        score_ends(score),
    ]
