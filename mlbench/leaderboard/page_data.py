"""What the scripts of the site draw from: a data file for each entry, and one for what all of them share.

A data file calls a function of the site with plain values, since a page that is opened from a disk may load scripts
and nothing else. Most numbers are packed: measures in ten-thousandths. Grids are flat, a row for each query language,
with a column for each document language and a last one for the pool; with images, a row for each caption language and
a column for each direction.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from math import copysign, floor, log10

import numpy as np

from mlbench.collection.language_info import language_info
from mlbench.collection.languages import IMAGE, KINDS, Kind
from mlbench.leaderboard.columns import IMAGE_MEASURES, BoardColumn, measured
from mlbench.leaderboard.entries import ReportedTask
from mlbench.leaderboard.standings import BoardEntry, EntryPair, Standings, can_tell, summary_columns
from mlbench.reports.formatting import SHORT, references, score_ends, score_interval, score_references, score_value
from mlbench.reports.grid import MOST_IN_CELLS, POOL
from mlbench.reports.language_map import language_data
from mlbench.results import BiasResult, Bounds, Result, SettingResult

Plain = None | bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]
DRAWN_MEASURES = ("AP", "R@1", "R@10")
"""The measures that are drawn of every setting, beside the primary one."""
_DIRECTIONS: tuple[Kind, ...] = ("text_to_image", "image_to_text")
_DISTANCE = "rank_distance"
_SHARED = ("ideal", "chance")
_UNIT = 10_000
_LARGEST = 2**15 - 1
_NONE = -(2**15)
# What the product of a decimal number and a unit may lack.
_NOISE = 1e-6


def script(function: str, *values: Plain) -> str:
    """Return a script that calls `function`; no value can end it, or be anything but a value."""
    written = (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) for value in values)
    return f"{function}({','.join(written)});\n".replace("<", "\\u003c")


def pack(values: Sequence[float | None], unit: float = _UNIT) -> str:
    """Write numbers in whole units as 16 bits each, the low byte first, in base64; None is the smallest number."""
    whole = [_NONE if value is None else max(-_LARGEST, min(_LARGEST, _whole(value * unit))) for value in values]
    return b64encode(np.array(whole, dtype="<i2").tobytes()).decode().rstrip("=")


def _whole(value: float) -> int:
    """Cut a number to a whole one: the page rounds it to fewer decimals, and must not round up twice."""
    return int(value + copysign(_NOISE, value))


def drawn_measures(result: Result) -> list[str]:
    """Return the measures that are drawn of a result, the primary one first."""
    primary, shown = result.task.primary_measure, DRAWN_MEASURES if result.image_text is None else IMAGE_MEASURES
    return [primary, *(name for name in shown if name in result.task.measures and name != primary)]


def task_values(standings: Standings) -> Plain:
    """Return what all verified entries share on a task, their names among it; None without one."""
    result = standings.result
    if result is None:
        return None
    queries = {cell: setting.n_queries for setting in result.settings if (cell := _grid_cell(result, setting))}
    columns = summary_columns(result)
    many = len(result.task.languages) > MOST_IN_CELLS and result.image_text is None
    return {
        **({"about": language_data([language_info(tag) for tag in result.task.languages])} if many else {}),
        **({} if result.image_text is None else {"columns": [SHORT[kind] for kind in _DIRECTIONS]}),
        "entries": sorted(standing.entry.name for standing in standings.groups["verified"]),
        "languages": result.task.languages,
        "measures": drawn_measures(result),
        "queries": [queries.get(cell, 0) for cell in _grid_cells(result)],
        "scores": [score.name for score in result.bias.scores] if result.bias else [],
        "references": [_shared(score) for score in result.bias.scores] if result.bias else [],
        "summary": [column.key for column in columns],
        "better": [column.better for column in columns],
        "tells": can_tell(result.statistics.n_clusters),
        "units": [_unit(column, result) for column in columns],
    }


def entry_values(shown: BoardEntry, pairs: Mapping[str, Mapping[tuple[str, str], EntryPair]]) -> Plain:
    """Return what is drawn of an entry.

    Of `pairs`, by task and by the names of both, it has those in which it is the first, in the order of the second.
    """
    tasks: dict[str, Plain] = {said.task: _of_report(said) for said in shown.entry.reported}
    for task, each in shown.tasks.items():
        own = sorted((second, pair) for (first, second), pair in pairs.get(task, {}).items() if first == shown.name)
        tasks[task] = {**_of_result(each.result), "pairs": [_of_pair(pair, each.result) for _, pair in own]}
    return {"title": shown.entry.title, "tasks": tasks}


def _of_result(result: Result) -> dict[str, Plain]:
    primary = result.task.primary_measure
    cells = {cell: setting for setting in result.settings if (cell := _grid_cell(result, setting))}
    shown = [cells.get(cell) for cell in _grid_cells(result)]
    values = {
        name: [setting.measures.get(name) if setting else None for setting in shown] for name in drawn_measures(result)
    }
    bounds = [setting.intervals.get(primary) if setting else None for setting in shown]
    summary = [measured(result, column) for column in summary_columns(result)]
    return {
        "grids": {name: pack(each) for name, each in values.items()},
        "limits": _limits(bounds),
        "rows": dict(_rows(result, primary)),
        "scores": list(_scores(result)),
        "summary": [shortened(number.value) if number else None for number in summary],
    }


def _rows(result: Result, measure: str) -> Iterator[tuple[str, Plain]]:
    """Yield by kind the means of the query languages with the limits of their intervals, and their rank distances."""
    for kind in KINDS:
        means = [result.aggregate(kind, query_language=language) for language in result.task.languages]
        if any(means):
            bounds = [mean.intervals.get(measure) if mean else None for mean in means]
            yield kind, [pack([mean.measures.get(measure) if mean else None for mean in means]), *_limits(bounds)]
    score = result.bias.score(_DISTANCE) if result.bias else None
    if score is not None:
        found = {row.language: row.value for row in score.rows}
        yield _DISTANCE, [shortened(found.get(language)) for language in result.task.languages]


def _limits(bounds: Sequence[Bounds | None]) -> list[Plain]:
    return [
        pack([each.low if each else None for each in bounds]),
        pack([each.high if each else None for each in bounds]),
    ]


def _scores(result: Result) -> Iterator[Plain]:
    """Yield of each bias score how value, interval, references and ends are written; None without a value.

    References leave out ideal and chance, which all entries share.
    """
    for score in result.bias.scores if result.bias else ():
        if score.value is None:
            yield None
        else:
            own = {name: value for name, value in score.references.items() if name not in _SHARED}
            beside = score_references(score.model_copy(update={"references": own}))
            yield [score_value(score), score_interval(score), beside, score_ends(score)]


def _shared(score: BiasResult) -> str:
    """Write ideal and chance of a bias score."""
    return references(score.name, *(score.references.get(name) for name in _SHARED))


def _of_report(said: ReportedTask) -> Plain:
    """Return what a source reports by query language, of its first measure and of rank distance."""
    rows = [each for each in said.values if each.query_language is not None]
    languages = sorted({each.query_language for each in rows if each.query_language is not None})
    measure = next((each.name for each in rows if each.kind), "")
    found = {(each.name, each.kind, each.query_language): each.value for each in rows}
    nothing = [None] * len(languages)

    def row(name: str, kind: Kind | None) -> list[float | None]:
        return [found.get((name, kind, language)) for language in languages]

    rows_of: dict[str, Plain] = {kind: [pack(row(measure, kind))] for kind in KINDS if row(measure, kind) != nothing}
    if row(_DISTANCE, None) != nothing:
        rows_of[_DISTANCE] = row(_DISTANCE, None)
    return {"languages": languages, "measure": measure, "rows": rows_of}


def _of_pair(pair: EntryPair, result: Result) -> Plain:
    """Return which cells of the grid differ, as bits in base64, and limits and p of each row of the summary, packed."""
    cells = [_grid_cell(result, setting) for setting in result.settings]
    differs = dict(zip(cells, pair.differs.tolist(), strict=True))
    bits = np.packbits([differs.get(cell, False) for cell in _grid_cells(result)])
    summary: list[float | None] = []
    for column in summary_columns(result):
        found = pair.summary.get(column)
        limits = (found.interval.low, found.interval.high) if found and found.interval else (None, None)
        summary += [limit and limit * _unit(column, result) for limit in limits]
        summary.append(round(found.p * _UNIT) if found else None)
    return [b64encode(bits.tobytes()).decode().rstrip("="), pack(summary, 1)]


def _unit(column: BoardColumn, result: Result) -> float:
    """Return what a number of the summary is packed in: rank distances as finely as 16 bits allow."""
    if column.name == _DISTANCE and result.bias:
        return 10.0 ** floor(log10(_LARGEST / max(1, result.bias.n_documents)))
    return _UNIT


def _grid_cells(result: Result) -> list[tuple[str, str]]:
    """Return row and column of each cell of the grid."""
    languages = result.task.languages
    if result.image_text is not None:
        return [(row, kind) for row in languages for kind in _DIRECTIONS]
    return [(row, column) for row in languages for column in (*languages, POOL)]


def _grid_cell(result: Result, setting: SettingResult) -> tuple[str, str] | None:
    """Return the cell of a setting, or None for a pool of some of the languages, and for one that images ask."""
    documents = setting.document_languages
    if setting.kind in _DIRECTIONS:
        return documents[0] if setting.query_language == IMAGE else setting.query_language, setting.kind
    if setting.query_language == IMAGE:
        return None
    if len(documents) == 1:
        return setting.query_language, documents[0]
    return (setting.query_language, POOL) if len(documents) == len(result.task.languages) else None


def shortened(value: float | None) -> float | None:
    """Cut to four decimals, and what is not a share to two; None stays None."""
    unit = _UNIT if value is not None and abs(value) < 100 else 100
    return None if value is None else _whole(value * unit) / unit
