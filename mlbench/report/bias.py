"""The language-bias scores of a result."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mlbench.report.notation import decimal, spoken
from mlbench.report.width import Flow, cell_width, fit, plain_table
from mlbench.results import BiasResult, Result

_HEADLINE = ("own_language_preference", "rank_distance", "rank_distance_median", "max_rank_norm")
_INTERVAL = "interval"
_THOUSANDS = 1000
# Ranks, and what is scaled to 100, need no third decimal; all else are shares.
_DIGITS = {
    "rank_distance": 1,
    "rank_distance_median": 1,
    "max_rank": 1,
    "max_rank_norm": 1,
    "rank_distance_log2": 2,
    "rank_spread": 2,
    "language_share@10": 2,
    "language_share@20": 2,
}


def bias_line(result: Result) -> Flow:
    """Return the line that always stands: quality of the pool beside the scores that must be read with it."""
    pool = result.aggregate("multilingual")
    parts = [Text.assemble(("bias ", "bold"), f"mAP {decimal(pool.measures.get('AP') if pool else None)}")]
    if result.bias is None:
        reason = "topics are not parallel" if not result.task.parallel else "no pool of several languages was measured"
        return Flow([*parts, Text(f"no bias scores: {reason}", "dim")], " | ")
    median = result.bias.score("rank_distance_median")
    for name in ("own_language_preference", "rank_distance", "max_rank_norm"):
        score = result.bias.score(name)
        if score is None:
            parts.append(Text(f"{name} {decimal(None)}"))
            continue
        middle = f", median {_value(median)}" if name == "rank_distance" and median is not None else ""
        parts.append(
            Text.assemble(
                f"{name} {_value(score)}", (_interval(score), "dim"), middle, (_references(score, brackets=True), "dim")
            )
        )
    return Flow(parts, " | ")


def other_scores(result: Result) -> list[BiasResult]:
    """Return the bias scores that have a value and do not stand in the bias line; often none."""
    scores = result.bias.scores if result.bias else ()
    return [score for score in scores if score.name not in _HEADLINE and score.value is not None]


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
            "value": [Text(_value(score)) for score in self.scores],
            _INTERVAL: [Text(_interval(score).strip(), "dim") for score in self.scores],
            "reference": [Text(_references(score), "dim") for score in self.scores],
            "lowest, highest language": [Text(_ends(score), "dim") for score in self.scores],
        }


def warnings(result: Result) -> list[Text]:
    """Return what must be known before the scores are believed; usually nothing."""
    warning = result.bias.warning if result.bias else None
    return [Text(f"warning: {warning}", "yellow")] if warning else []


def _value(score: BiasResult) -> str:
    return _write(score, score.value)


def _interval(score: BiasResult) -> str:
    bounds = score.interval
    return f" [{_write(score, bounds.low)}, {_write(score, bounds.high)}]" if bounds else ""


def _references(score: BiasResult, *, brackets: bool = False) -> str:
    known = [(name, value) for name, value in score.references.items() if value is not None]
    known.sort(key=lambda reference: reference[0] != "floor")
    text = ", ".join(f"{spoken(name)} {_write(score, value)}" for name, value in known)
    return f" ({text})" if brackets and text else text


def _ends(score: BiasResult) -> str:
    known = sorted((row.value, row.language) for row in score.rows if row.value is not None)
    if not known:
        return ""
    (low, lowest), (high, highest) = known[0], known[-1]
    ends = (_write(score, low), _write(score, high))
    return f"{lowest} {ends[0]}, {highest} {ends[1]}" if ends[0] != ends[1] else ""


def _write(score: BiasResult, value: float | None) -> str:
    digits = _DIGITS.get(score.name, 3)
    # Nobody reads a tenth of a rank beside thousands of them; a floor is a whole number.
    if value is not None and (abs(value) >= _THOUSANDS or (digits == 1 and value.is_integer())):
        digits = 0
    return decimal(value, digits)
