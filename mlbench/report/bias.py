"""The language-bias scores of a result."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mlbench.report.notation import decimal
from mlbench.report.scores import (
    MEDIAN,
    headline,
    no_bias,
    pool_kind,
    score_ends,
    score_interval,
    score_references,
    score_value,
)
from mlbench.report.width import Flow, cell_width, fit, plain_table
from mlbench.results import BiasResult, Result

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
