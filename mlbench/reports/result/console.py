"""A result on the console: what was measured, means of each kind of settings, language bias, heat map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from mlbench.collection.languages import KINDS
from mlbench.reports.captions import captions, sizes
from mlbench.reports.console import GAP, Flow, cell_width, fit, plain_table
from mlbench.reports.formatting import (
    MEDIAN,
    cost,
    count,
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
)
from mlbench.reports.grid import grid, shown_measure
from mlbench.reports.heat_map import CaptionMap, HeatMap
from mlbench.results import Aggregate, BiasResult, Result, Statistics

# What people look for first, where the terminal is too narrow for all.
_FIRST = ("R@1", "R@10", "nDCG@10", "RR", "R@100", "RR@10", "Success@10")


def header(result: Result) -> tuple[Flow, Flow]:
    """Return two lines: retriever and task; what it is made of."""
    task, retriever = result.task, result.retriever
    title = [Text(retriever.spec, "bold"), Text(f"on {task.name} (version {task.version})")]
    labels = [f"partial: {partial(result)}"] if task.partial else []
    labels += [quick_look(task.limit)] if task.limit is not None else []
    return Flow([*title, *([Text("; ".join(labels), "yellow")] if labels else [])], " "), Flow(_dim(details(result)))


def details(result: Result) -> list[str]:
    """Return in a few words each what the retriever and the task are made of."""
    task, retriever = result.task, result.retriever
    found: list[str] = [retriever.kind]
    if retriever.dim is not None:
        found.append(count(retriever.dim, "dimension"))
    if retriever.similarity is not None:
        found.append(retriever.similarity)
    if result.image_text is None:
        found.append(count(len(task.languages), "language"))
        found += [count(n_queries(result), "query"), count(n_documents(result), "document")]
    else:
        found += [count(len(task.languages), "caption language"), *sizes(result)]
    return [*found, f"primary measure {heading(task.primary_measure)}"]


def partial(result: Result) -> str:
    """Say what a partial result is of."""
    languages, unreadable = ", ".join(result.task.languages), result.task.unreadable_images
    return f"{languages}; without {count(unreadable, 'unreadable image')}" if unreadable else languages


def n_queries(result: Result) -> int:
    """Return how many queries have a relevant document in some setting; a query language counts its fullest setting."""
    fullest: dict[str, int] = {}
    for setting in result.settings:
        language = setting.query_language
        fullest[language] = max(fullest.get(language, 0), setting.n_queries)
    return sum(fullest.values())


def n_documents(result: Result) -> int:
    """Return how many documents the settings search through, each document counted once."""
    sizes = {setting.document_languages: setting.n_documents for setting in result.settings}
    single = sum(size for languages, size in sizes.items() if len(languages) == 1)
    return max(single, max(sizes.values(), default=0))


@dataclass(frozen=True)
class SummaryTable:
    """Macro means: a row for each kind of settings, a column for each measure that fits, the primary one first."""

    result: Result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, then which measures found no room."""
        found = [self.result.aggregate(kind) for kind in KINDS]
        rows = [aggregate for aggregate in found if aggregate is not None]
        labels = [Text(f"{spoken(row.kind)} ({row.n_settings})") for row in rows]
        label_width = max(cell_width(labels), len("settings"))
        columns = {measure: self._cells(rows, measure) for measure in ordered_measures(self.result)}
        shown = fitting_measures(columns, options.max_width - label_width - GAP)
        table = plain_table()
        table.add_column("settings", no_wrap=True)
        for measure in shown:
            table.add_column(heading(measure), no_wrap=True)
        for place, label in enumerate(labels):
            table.add_row(label, *(columns[measure][place] for measure in shown))
        yield table
        yield from left_out(columns, shown)

    def _cells(self, rows: Sequence[Aggregate], measure: str) -> list[Text]:
        values = [decimal(row.measures.get(measure)) for row in rows]
        width = max(map(len, values), default=0)
        primary = measure == self.result.task.primary_measure
        return [
            Text.assemble(
                value.rjust(width),
                (interval(row.intervals.get(measure)) if primary else "", "dim"),
                (ceiling(row, measure), "dim"),
            )
            for row, value in zip(rows, values, strict=True)
        ]


def ordered_measures(result: Result) -> list[str]:
    """Return the measures of a result, the primary one first."""
    primary = result.task.primary_measure
    return [primary, *(measure for measure in result.task.measures if measure != primary)]


def ceiling(aggregate: Aggregate, measure: str) -> str:
    """Write the best that a measure can be, such as ` of .909`; nothing where that is 1 or not known."""
    best = aggregate.ceilings.get(measure)
    return "" if best is None or decimal(best) == decimal(1) else f" of {decimal(best)}"


def fitting_measures(columns: Mapping[str, Sequence[Text]], room: int) -> list[str]:
    """Choose the measures whose columns fit into `room`, in the order given; the first is always among them."""
    first = list(columns)[:1]
    urgent = [*first, *(measure for measure in _FIRST if measure in columns and measure not in first)]
    widths = {
        measure: max(len(heading(measure)), cell_width(columns[measure]))
        for measure in dict.fromkeys([*urgent, *columns])
    }
    chosen = fit(widths, room)
    return [measure for measure in columns if measure in chosen]


def left_out(columns: Mapping[str, Sequence[Text]], shown: Sequence[str]) -> list[Flow]:
    """Return a line that names the measures which found no room, or none."""
    names = [heading(measure) for measure in columns if measure not in shown]
    if not names:
        return []
    return [Flow(_dim([f"no room for {', '.join(names)}: see a wider terminal or --json"]))]


def footer(result: Result) -> tuple[Flow, Flow]:
    """Return two lines: how the intervals were made; what the run took."""
    first, *rest = cost(result)
    return intervals_line(result.statistics), Flow(_dim([f"cost: {first}", *rest]))


def intervals_line(statistics: Statistics) -> Flow:
    """Return a line that says how intervals were made."""
    return Flow(_dim(intervals(statistics)))


def _dim(parts: Sequence[str]) -> list[Text]:
    return [Text(part, "dim") for part in parts]


_INTERVAL = "interval"


def bias_line(result: Result) -> Flow:
    """Return the line that always stands: quality of the pool beside the scores that must be read with it."""
    pool = result.aggregate(pool_kind(result))
    parts = [Text.assemble(("bias ", "bold"), f"mAP {decimal(pool.measures.get('AP') if pool else None)}")]
    if result.bias is None:
        return Flow([*parts, Text(f"no bias scores: {no_bias(result)}", "dim")], " | ")
    median = result.bias.score(MEDIAN)
    for name in headline(result):
        if name == MEDIAN:
            continue
        score = result.bias.score(name)
        if score is None:
            parts.append(Text(f"{name} {decimal(None)}"))
            continue
        middle = f", median {score_value(median)}" if name == "rank_distance" and median is not None else ""
        bounds, known = score_interval(score), score_references(score)
        parts.append(
            Text.assemble(
                f"{name} {score_value(score)}",
                (f" {bounds}" if bounds else "", "dim"),
                middle,
                (f" ({known})" if known else "", "dim"),
            )
        )
    return Flow(parts, " | ")


@dataclass(frozen=True)
class BiasTable:
    """Bias scores, one to a row, with their floors and chance levels and the languages at the ends."""

    scores: Sequence[BiasResult]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table without the columns that find no room."""
        columns = {title: cells for title, cells in self._columns().items() if cell_width(cells)}
        widths = {title: max(len(title), cell_width(cells)) for title, cells in columns.items()}
        # An interval is missed least.
        shown = fit(dict(sorted(widths.items(), key=lambda column: column[0] == _INTERVAL)), options.max_width)
        table = plain_table()
        for title in columns:
            if title in shown:
                table.add_column(title, justify="right" if title == "value" else "left", no_wrap=True)
        for row in zip(*(cells for title, cells in columns.items() if title in shown), strict=True):
            table.add_row(*row)
        yield table

    def _columns(self) -> dict[str, list[Text]]:
        return {
            "bias score": [Text(score.name) for score in self.scores],
            "value": [Text(score_value(score)) for score in self.scores],
            _INTERVAL: [Text(score_interval(score), "dim") for score in self.scores],
            "reference": [Text(score_references(score), "dim") for score in self.scores],
            "lowest, highest language": [Text(score_ends(score), "dim") for score in self.scores],
        }


def warnings(result: Result) -> list[Text]:
    """Return what must be known before the scores are believed; usually nothing."""
    warning = result.bias.warning if result.bias else None
    return [Text(f"warning: {warning}", "yellow")] if warning else []


def console_report(result: Result, *, measure: str | None = None) -> RenderableType:
    """Return the report of a result: means, bias scores, heat map or table of captions, and how they were made.

    It fits itself to the width of the console that prints it, and has no colour where that has none. `measure` is the
    one of the heat map, by default the primary one; raises `UnknownName` when the result does not have it.
    """
    shown = shown_measure(result, measure)
    parts: list[RenderableType] = [*header(result), Text(), SummaryTable(result), Text(), bias_line(result)]
    parts += warnings(result)
    if others := other_scores(result):
        parts += [Text(), BiasTable(others)]
    images = captions(result, measure)
    languages = CaptionMap(images) if images else HeatMap(grid(result, shown))
    return Group(*parts, Text(), languages, Text(), *footer(result))
