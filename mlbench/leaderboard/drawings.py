"""What the scripts of the site draw from: a data file for each entry, and one for the tasks.

A data file calls a function of the site with plain values, since a page that is opened from a disk may load scripts
and nothing else. Measures are whole ten-thousandths, and null where there is no value; grids are flat, a row for each
query language, with a column for each document language and a last one for the pool.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mlbench.languages import KINDS, Kind
from mlbench.leaderboard.columns import MEASURES, measured
from mlbench.leaderboard.entries import ReportedTask
from mlbench.leaderboard.evidence import summary_columns
from mlbench.leaderboard.pairs import Pair
from mlbench.leaderboard.standings import Measured, Shown
from mlbench.report.pairs import POOL, grid
from mlbench.results import Result, SettingResult

Plain = None | bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]

_SCALE = 10_000
_DISTANCE = "rank_distance"


def script(function: str, *values: Plain) -> str:
    """Return a script that calls `function`; no value can end it, or be anything but a value."""
    written = (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) for value in values)
    return f"{function}({','.join(written)});\n".replace("<", "\\u003c")


def measures_of(result: Result) -> list[str]:
    """Return the measures that the site draws of a result, the primary one first."""
    primary = result.task.primary_measure
    return [primary, *(name for name in MEASURES if name in result.task.measures and name != primary)]


def task_values(result: Result) -> Plain:
    """Return what all entries share on a task, from the result of any of them."""
    queries = {place: setting.n_queries for setting in result.settings if (place := _place(result, setting))}
    columns = summary_columns(result.task.primary_measure)
    return {
        "languages": result.task.languages,
        "measures": measures_of(result),
        "queries": [queries.get(place, 0) for place in _places(result)],
        "summary": [column.key for column in columns],
        "lower": [column.lower_is_better for column in columns],
    }


def entry_values(shown: Shown, pairs: Mapping[str, Mapping[str, Pair]]) -> Plain:
    """Return what is drawn of an entry; `pairs` has for each task those in which it is the first, by the second."""
    tasks: dict[str, Plain] = {said.task: _of_report(said) for said in shown.entry.reported}
    for task, each in shown.tasks.items():
        tasks[task] = {
            **_of_result(each.result),
            "pairs": {name: _of_pair(pair, each) for name, pair in sorted(pairs.get(task, {}).items())},
        }
    return {"title": shown.entry.title, "tasks": tasks}


def _of_result(result: Result) -> dict[str, Plain]:
    primary = result.task.primary_measure
    grids = {name: grid(result, name) for name in measures_of(result)}
    bounds = [grids[primary].interval(*place) for place in _places(result)]
    summary = [measured(result, column) for column in summary_columns(primary)]
    return {
        "grids": {name: [_scaled(each.value(*place)) for place in _places(result)] for name, each in grids.items()},
        "low": [_scaled(each and each.low) for each in bounds],
        "high": [_scaled(each and each.high) for each in bounds],
        "rows": dict(_rows(result, primary)),
        "summary": [each and _short(each.value) for each in summary],
    }


def _rows(result: Result, measure: str) -> Iterator[tuple[str, Plain]]:
    """Yield by kind the means of the query languages with the limits of their intervals, and their rank distances."""
    for kind in KINDS:
        means = [result.aggregate(kind, query_language=language) for language in result.task.languages]
        if any(means):
            bounds = [mean and mean.intervals.get(measure) for mean in means]
            yield (
                kind,
                [
                    [_scaled(mean and mean.measures.get(measure)) for mean in means],
                    [_scaled(each and each.low) for each in bounds],
                    [_scaled(each and each.high) for each in bounds],
                ],
            )
    score = result.bias.score(_DISTANCE) if result.bias else None
    if score is not None:
        found = {row.language: row.value for row in score.rows}
        yield _DISTANCE, [[_short(found.get(language)) for language in result.task.languages]]


def _of_report(said: ReportedTask) -> Plain:
    """Return what a source reports by query language, of its first measure and of rank distance."""
    rows = [each for each in said.values if each.query_language is not None]
    languages = sorted({each.query_language for each in rows if each.query_language is not None})
    measure = next((each.name for each in rows if each.kind), "")
    found = {(each.name, each.kind, each.query_language): each.value for each in rows}
    keys: list[tuple[str, str, Kind | None]] = [(kind, measure, kind) for kind in KINDS]
    keys.append((_DISTANCE, _DISTANCE, None))
    values: dict[str, Plain] = {}
    for key, name, kind in keys:
        written = _scaled if kind else _short
        row = [written(found.get((name, kind, language))) for language in languages]
        if any(value is not None for value in row):
            values[key] = [row]
    return {"languages": languages, "measure": measure, "rows": values}


def _of_pair(pair: Pair, first: Measured) -> Plain:
    """Return which cells of the grid differ, as bits in base64, and interval and p of each row of the summary."""
    differs = {
        place: bool(differs)
        for setting, differs in zip(first.result.settings, pair.differs, strict=True)
        if (place := _place(first.result, setting))
    }
    bits = np.packbits([differs.get(place, False) for place in _places(first.result)])
    summary: list[Plain] = []
    for column in summary_columns(first.result.task.primary_measure):
        found = pair.summary.get(column)
        limits = found.interval if found else None
        summary.append(found and [_short(limits and limits.low), _short(limits and limits.high), _short(found.p)])
    return [b64encode(bits.tobytes()).decode().rstrip("="), summary]


def _places(result: Result) -> list[tuple[str, str]]:
    """Return row and column of each cell of the grid."""
    languages = result.task.languages
    return [(row, column) for row in languages for column in (*languages, POOL)]


def _place(result: Result, setting: SettingResult) -> tuple[str, str] | None:
    """Return the cell of a setting, or None for a pool of some of the languages."""
    documents = setting.document_languages
    if len(documents) == 1:
        return setting.query_language, documents[0]
    return (setting.query_language, POOL) if len(documents) == len(result.task.languages) else None


def _scaled(value: float | None) -> int | None:
    return None if value is None else round(value * _SCALE)


def _short(value: float | None) -> float | int | None:
    """Round to four decimals, and what is not between -10 and 10 to one."""
    if value is None:
        return None
    return round(value, 4) if abs(value) < 10 else round(value, 1)
