"""Every number of a result as one long table of comma-separated values, for spreadsheets and data frames."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from mlbench.collection.languages import IMAGE
from mlbench.reports.formatting import task_label
from mlbench.reports.grid import shown_measure
from mlbench.results import Result, SettingResult
from mlbench.statistics.captions import CAPTION_SCORES
from mlbench.statistics.pool import PoolAnswer

COLUMNS = (
    "task",
    "retriever",
    "fingerprint",
    "kind",
    "query_language",
    "document_languages",
    "n_queries",
    "n_documents",
    "measure",
    "value",
    "low",
    "high",
)
# What spreadsheets take for the beginning of a formula, also in its full-width form.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def csv_report(results: Sequence[Result], *, measure: str | None = None) -> str:
    """Return a row for each result, setting and measure, or for `measure` alone; an absent value is an empty cell.

    What captions and images have in neither direction are rows of the kind `image_text`: r_mean and CLIPScores.
    Text that a spreadsheet would take for a formula is preceded by an apostrophe. The `fingerprint` is the retriever's.
    Raises `UnknownName` for a measure that a result does not have.
    """
    for result in results:
        shown_measure(result, measure)
    return _table(((result, result.settings) for result in results), measure, whole=measure is None)


def csv_pools(results: Sequence[Result], answers: Sequence[PoolAnswer]) -> str:
    """Return the same for pools, each answered from the result in the same place."""
    return _table(zip(results, [answer.settings for answer in answers], strict=True), None)


def _table(parts: Iterable[tuple[Result, Sequence[SettingResult]]], measure: str | None, *, whole: bool = False) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result, settings in parts:
        for setting in settings:
            writer.writerows(_rows(result, setting, measure))
        if whole:
            writer.writerows(_caption_rows(result))
    return buffer.getvalue()


def _rows(result: Result, setting: SettingResult, measure: str | None) -> Iterator[list[str | int | float | None]]:
    for name, value in setting.measures.items():
        if measure not in (None, name):
            continue
        bounds = setting.intervals.get(name)
        yield [
            *_names(result),
            setting.kind,
            _text(setting.query_language),
            _text("+".join(setting.document_languages)),
            setting.n_queries,
            setting.n_documents,
            _text(name),
            value,
            bounds.low if bounds else None,
            bounds.high if bounds else None,
        ]


def _caption_rows(result: Result) -> Iterator[list[str | int | float | None]]:
    """Yield what belongs to neither direction: of each caption language, and without a language their mean."""
    found = result.image_text
    for each in (*found.languages, found.mean) if found else ():
        for name in CAPTION_SCORES:
            bounds = each.intervals.get(name)
            yield [
                *_names(result),
                "image_text",
                _text(each.language or ""),
                IMAGE,
                each.n_captions,
                None,
                name,
                getattr(each, name),
                bounds.low if bounds else None,
                bounds.high if bounds else None,
            ]


def _names(result: Result) -> list[str]:
    return [
        _text(result.task.name if result.task.limit is None else task_label(result)),
        _text(result.retriever.spec),
        _text(result.retriever.fingerprint),
    ]


def _text(text: str) -> str:
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
