import csv
import io
from collections.abc import Sequence
from typing import cast

import pytest

from mlbench.reports.documents.result import results_report
from mlbench.reports.formatting import visible
from mlbench.reports.writers.csv import write_csv
from mlbench.results import Result


def csv_report(results: Sequence[Result], *, measure: str | None = None) -> str:
    return write_csv(results_report(results, measure=measure))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_number_is_there_exactly(small: Result) -> None:
    found = {
        (row["query_language"], row["document_languages"], row["measure"]): (row["value"], row["low"], row["high"])
        for row in read(csv_report([small]))
    }
    assert len(found) == len(small.settings) * len(small.task.measures)
    for setting in small.settings:
        for measure, value in setting.measures.items():
            bounds = setting.intervals.get(measure)
            stated = found[setting.query_language, "+".join(setting.document_languages), measure]
            assert float(stated[0]) == value
            assert stated[1:] == ((str(bounds.low), str(bounds.high)) if bounds else ("", ""))


def test_one_measure_and_several_results(small: Result) -> None:
    rows = read(csv_report([small, small], measure="R@1"))
    assert len(rows) == 2 * len(small.settings)
    assert {row["measure"] for row in rows} == {"R@1"}


def test_an_absent_value_is_an_empty_cell(small: Result) -> None:
    setting = small.settings[0].model_copy(update={"measures": {"AP": None}, "intervals": {"AP": None}})
    (row,) = read(csv_report([small.model_copy(update={"settings": (setting,)})]))
    assert (row["value"], row["low"], row["high"]) == ("", "", "")


@pytest.mark.parametrize("begin", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "＝1", "\t=1"])
def test_text_is_no_formula(small: Result, begin: str) -> None:
    spoiled = small.model_copy(update={"retriever": small.retriever.model_copy(update={"spec": begin})})
    assert {row["retriever"] for row in read(csv_report([spoiled]))} == {"'" + begin if begin != "\t=1" else "\\t=1"}


def test_a_hostile_name_stays_in_its_cell(hostile: Result) -> None:
    rows = read(csv_report([hostile]))
    assert {row["retriever"] for row in rows} == {visible(hostile.retriever.spec)}
    assert all(None not in row for row in cast(list[dict[str | None, str]], rows))
