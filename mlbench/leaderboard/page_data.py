"""What the scripts of the site draw from: a data file for each entry, and one for each task.

A data file calls a function of the site with plain values, since a page that is opened from a disk may load scripts
and nothing else. Measures are packed in thousandths, as they are shown. Grids are flat, a row for each query language,
with a column for each document language and a last one for the pool; with images, a row for each caption language and
a column for each direction.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from math import copysign
from re import fullmatch

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.language_info import language_info
from mlbench.collection.languages import IMAGE, KINDS, Kind
from mlbench.leaderboard.columns import IMAGE_MEASURES, BoardColumn, measured
from mlbench.leaderboard.entries import NAME, ReportedTask
from mlbench.leaderboard.evidence import Evidence, summary_columns
from mlbench.leaderboard.pairs import MOST_GROUPS, Differing, Groups, groups_of
from mlbench.leaderboard.standings import BoardEntry, CheckedResult, Standings, can_tell
from mlbench.reports.formatting import SHORT, references, score_ends, score_interval, score_references, score_value
from mlbench.reports.grid import MOST_IN_CELLS, POOL
from mlbench.reports.language_map import language_data
from mlbench.results import BiasResult, Bounds, Result, SettingResult
from mlbench.statistics.resampling import student_quantile

Plain = None | bool | int | float | str | Sequence["Plain"] | Mapping[str, "Plain"]
DRAWN_MEASURES = ("AP", "R@1", "R@10")
"""The measures that are drawn of every setting, beside the primary one."""
_DIRECTIONS: tuple[Kind, ...] = ("text_to_image", "image_to_text")
_DISTANCE = "rank_distance"
_SHARED = ("ideal", "chance")
_UNIT = 10_000
_THOUSAND, _NO_SHARE = 1000, 2**12 - 1
_FINEST = 127
_LARGEST = 2**15 - 1
_NONE = -(2**15)
# What the product of a decimal number and a unit may lack.
_NOISE = 1e-6


def script(function: str, *values: Plain) -> str:
    """Return a script that calls `function`; no value can end it, or be anything but a value."""
    written = (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) for value in values)
    # The dash of ranges, of which there are many, is three bytes in place of six.
    return f"{function}({','.join(written)});\n".replace("<", "\\u003c").replace("\\u2013", "–")


def file_name(name: str) -> str:
    """Return how the file of a task is called: by its name, or where that may be no name of a file by its digest."""
    return name if fullmatch(NAME, name) else sha256(name.encode()).hexdigest()[:16]


def pack(values: Sequence[float | None], unit: float = _UNIT) -> str:
    """Write numbers in whole units as 16 bits each, the low byte first, in base64; None is the smallest number."""
    whole = [_NONE if value is None else max(-_LARGEST, min(_LARGEST, _whole(value * unit))) for value in values]
    return b64encode(np.array(whole, dtype="<i2").tobytes()).decode().rstrip("=")


def _whole(value: float) -> int:
    """Cut a number to a whole one: the page rounds it to fewer decimals, and must not round up twice."""
    return int(value + copysign(_NOISE, value))


def pack_shares(values: Sequence[float | None]) -> str:
    """Write numbers from 0 to 1 in thousandths as 12 bits each, the lower ones first, in base64; None is all ones."""
    # Rounded as text is, so that a number is the same wherever it stands.
    whole = [_NO_SHARE if value is None else round(round(min(1, max(0, value)), 3) * _THOUSAND) for value in values]
    bits = np.unpackbits(np.array(whole, dtype="<u2").view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")[:, :12]
    return _base64(np.packbits(bits, bitorder="little"))


def _base64(values: NDArray[np.generic]) -> str:
    return b64encode(values.tobytes()).decode().rstrip("=")


def drawn_measures(result: Result) -> list[str]:
    """Return the measures that are drawn of a result, the primary one first."""
    primary, shown = result.task.primary_measure, DRAWN_MEASURES if result.image_text is None else IMAGE_MEASURES
    return [primary, *(name for name in shown if name in result.task.measures and name != primary)]


def task_values(standings: Standings, evidence: Sequence[Evidence]) -> Plain:
    """Return what all verified entries share on a task, of which `evidence` is; None without one.

    Means are tested by groups of clusters: `shares` are their parts of each column of the summary, and `t` is how many
    standard errors an interval reaches on each side.
    """
    result = standings.result
    if result is None:
        return None
    queries = {cell: setting.n_queries for setting in result.settings if (cell := _grid_cell(result, setting))}
    columns = summary_columns(result)
    many = len(result.task.languages) > MOST_IN_CELLS and result.image_text is None
    return {
        **({"about": language_data([language_info(tag) for tag in result.task.languages])} if many else {}),
        **({} if result.image_text is None else {"columns": [SHORT[kind] for kind in _DIRECTIONS]}),
        "languages": result.task.languages,
        "measures": drawn_measures(result),
        "queries": [] if many else [queries.get(cell, 0) for cell in _grid_cells(result)],
        "scores": [score.name for score in result.bias.scores] if result.bias else [],
        "shares": [_shares(column, evidence) for column in columns],
        "t": _t(evidence),
        "references": [_shared(score) for score in result.bias.scores] if result.bias else [],
        "summary": [column.key for column in columns],
        "better": [column.better for column in columns],
        "tells": can_tell(result.statistics.n_clusters),
    }


def _shares(column: BoardColumn, evidence: Sequence[Evidence]) -> Plain:
    found = filter(None, (groups_of(each, column) for each in evidence))
    return next(([round(share, 6) for share in groups.shares.tolist()] for groups in found), None)


def _t(evidence: Sequence[Evidence]) -> Plain:
    """Return the quantile of Student's t for the intervals of groups of clusters; None of fewer than two groups."""
    confidence = evidence[0].confidence
    n_groups = min(len(evidence[0].settings), MOST_GROUPS)
    return round(student_quantile((1 + confidence) / 2, n_groups - 1), 6) if n_groups > 1 else None


def entry_values(shown: BoardEntry, differing: Mapping[str, Differing]) -> Plain:
    """Return what is drawn of an entry; `differing` has by task the settings in which near entries differ.

    An entry has those in which its name comes first, by the name of the other one.
    """
    tasks: dict[str, Plain] = {said.task: _of_report(said) for said in shown.entry.reported}
    for task, each in shown.tasks.items():
        own = {second: cells for (first, second), cells in differing.get(task, {}).items() if first == shown.name}
        differs = {second: _marks(cells, each.result) for second, cells in own.items()}
        tasks[task] = {**_of_result(each), "differs": differs}
    return {"title": shown.entry.title, "tasks": tasks}


def _of_result(checked: CheckedResult) -> dict[str, Plain]:
    result, evidence = checked.result, checked.evidence
    primary = result.task.primary_measure
    cells = {cell: setting for setting in result.settings if (cell := _grid_cell(result, setting))}
    shown = [cells.get(cell) for cell in _grid_cells(result)]
    values = {
        name: [setting.measures.get(name) if setting else None for setting in shown] for name in drawn_measures(result)
    }
    bounds = [setting.intervals.get(primary) if setting else None for setting in shown]
    columns = summary_columns(result)
    summary = [measured(result, column) for column in columns]
    return {
        "cross": dict(_cross_lingual(result)),
        "distances": _distances(result),
        "grids": {name: pack_shares(each) for name, each in values.items()},
        "limits": _limits(bounds),
        "scores": list(_scores(result)),
        "summary": [round(number.value, 8) if number else None for number in summary],
        "tests": [_contributions(groups_of(evidence, column)) for column in columns],
    }


def _contributions(groups: Groups | None) -> Plain:
    """Return the residuals of groups of clusters in 8 bits each, and what one of these is worth; None without any."""
    if groups is None:
        return None
    step = float(np.abs(groups.residuals).max(initial=0)) / _FINEST
    whole = np.round(groups.residuals / step) if step > 0 else groups.residuals
    return [float(f"{step:.4g}"), _base64(whole.astype(np.int8))]


def _cross_lingual(result: Result) -> Iterator[tuple[str, Plain]]:
    """Yield for each measure the means of the query languages over other languages, of the primary one with limits."""
    means = [result.aggregate("cross_lingual", query_language=language) for language in result.task.languages]
    for name in drawn_measures(result) if any(means) else ():
        values = [mean.measures.get(name) if mean else None for mean in means]
        bounds = [mean.intervals.get(name) if mean else None for mean in means]
        yield name, [pack_shares(values), *(_limits(bounds) if name == result.task.primary_measure else ())]


def _distances(result: Result) -> Plain:
    """Return the rank distance of each query language; nothing where there is none."""
    score = result.bias.score(_DISTANCE) if result.bias else None
    found = {row.language: row.value for row in score.rows} if score else {}
    return [shortened(found.get(language)) for language in result.task.languages] if found else []


def _limits(bounds: Sequence[Bounds | None]) -> list[Plain]:
    return [
        pack_shares([each.low if each else None for each in bounds]),
        pack_shares([each.high if each else None for each in bounds]),
    ]


def _scores(result: Result) -> Iterator[Plain]:
    """Yield of each bias score how value, interval, references and ends are written, as one text; None without a value.

    References leave out ideal and chance, which all entries share, and where there are several, which a line is too
    short for.
    """
    for score in result.bias.scores if result.bias else ():
        if score.value is None:
            yield None
        else:
            own = {name: value for name, value in score.references.items() if name not in _SHARED}
            beside = score_references(score.model_copy(update={"references": own})) if len(own) == 1 else ""
            limits = score_interval(score).strip("[]")
            yield "|".join([score_value(score), limits, beside, score_ends(score)]).rstrip("|")


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

    return {
        "distances": row(_DISTANCE, None) if row(_DISTANCE, None) != nothing else [],
        "languages": languages,
        "measure": measure,
        "rows": {kind: [pack_shares(row(measure, kind))] for kind in KINDS if row(measure, kind) != nothing},
    }


def _marks(differs: NDArray[np.bool_], result: Result) -> str:
    """Return which cells of the grid differ, as bits in base64."""
    cells = [_grid_cell(result, setting) for setting in result.settings]
    found = dict(zip(cells, differs.tolist(), strict=True))
    return _base64(np.packbits([found.get(cell, False) for cell in _grid_cells(result)]))


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
