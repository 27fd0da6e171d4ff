"""Numbers that papers report: possible ones, and those on the committed board."""

from pathlib import Path
from typing import Any

import pytest

from mlbench.collection.languages import TEXT_KINDS
from mlbench.errors import RefusedEntry
from mlbench.leaderboard import columns
from mlbench.leaderboard.board import Board
from mlbench.leaderboard.check import check_entry
from mlbench.leaderboard.check_files import canonical
from mlbench.leaderboard.entries import ENTRY_FILE, ReportedTask, ReportedValue, sealed
from mlbench.leaderboard.protocol import reported_fault

BOARD = Board(Path(__file__).parents[3] / "leaderboard")
MLQA = BOARD.accepted("mlqa-r")
NAMES = tuple(name for name in BOARD.entry_names() if name.startswith(("elmahdy-2024-", "roy-2020-")))


def value(
    name: str = "AP", kind: Any = "monolingual", language: str | None = None, number: float = 0.5
) -> ReportedValue:
    return ReportedValue(name=name, kind=kind, query_language=language, value=number)


def fault(*values: ReportedValue) -> str:
    task = ReportedTask(task="mlqa-r", aggregation="macro", document_text=None, unstated=(), values=values)
    return reported_fault(task, MLQA)


def test_possible_numbers_pass() -> None:
    bias = value("rank_distance", None, None, 20_000.0)
    assert fault(value(), value(language="ar"), value("R@10", "multilingual", number=1.0), bias) == ""


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "reports no number"),
        ([value(number=79.2)], "is 79.2, which no AP can be: write a fraction"),
        ([value(number=-0.1)], "which no AP can be"),
        ([value("mAP")], "unknown measure 'mAP'"),
        ([value("AP", None)], "unknown bias score 'AP'"),
        ([value("rank_distance")], "unknown measure 'rank_distance'"),
        ([value("rank_distance", None, None, 20_535)], "more than there are documents"),
        ([value(language="th")], "a language that mlqa-r has not"),
        ([value(), value(number=0.6)], "values[1] is reported twice"),
    ],
)
def test_impossible_ones_are_named(values: list[ReportedValue], said: str) -> None:
    assert said in fault(*values)


def test_numbers_of_settings_that_a_task_has_not_are_named() -> None:
    few = MLQA.model_copy(update={"settings": tuple(each for each in MLQA.settings if each.kind == "monolingual")})
    task = ReportedTask(
        task="mlqa-r",
        aggregation="macro",
        document_text=None,
        unstated=(),
        values=(value(kind="multilingual"),),
    )
    assert "settings that mlqa-r has not" in reported_fault(task, few)


def test_a_number_of_one_language_is_no_mean() -> None:
    column = columns.BoardColumn("AP", "monolingual")
    task = ReportedTask(
        task="mlqa-r", aggregation="macro", document_text=None, unstated=(), values=(value(language="ar", number=0.1),)
    )
    assert columns.reported(task, column) is None
    whole = task.model_copy(update={"values": (*task.values, value(number=0.5))})
    assert columns.reported(whole, column) == columns.BoardNumber(0.5)


def reported(name: str) -> list[ReportedTask]:
    return list(check_entry(BOARD, name).entry.reported)


def test_six_systems_and_four_baselines_are_reported() -> None:
    assert len(NAMES) == 10
    for name in NAMES:
        entry = check_entry(BOARD, name).entry
        assert entry.kind == "reported"
        assert "arXiv" in (entry.source or "")
        assert (entry.url or "").startswith("https://arxiv.org/abs/")
        tasks = {task.task: task for task in entry.reported}
        ours = name.startswith("elmahdy-2024-")
        assert set(tasks) == {"xquad-r", "mlqa-r", *(["miracl-15"] if ours else [])}
        for task in tasks.values():
            assert {"ranking depth", "order of ties"} <= set(task.unstated)
            assert task.aggregation == ("macro" if ours else "micro")
            assert task.document_text == (None if ours else "sentence_in_context")
            assert ("text of a document" in task.unstated) == ours


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("elmahdy-2024-")])
def test_means_are_those_of_the_languages_that_are_reported_with_them(name: str) -> None:
    for task in reported(name):
        if task.task == "miracl-15":  # The paper has no numbers of its languages.
            continue
        numbers = {(each.name, each.kind, each.query_language): each.value for each in task.values}
        languages = BOARD.accepted(task.task).task.languages
        for measure, kind in [*(("AP", kind) for kind in TEXT_KINDS), ("rank_distance", None)]:
            rows = [numbers[measure, kind, language] for language in languages]
            digit = 0.0001 if kind else 0.1
            assert numbers[measure, kind, None] == pytest.approx(sum(rows) / len(rows), abs=digit * 1.01)


def test_the_baselines_of_lareqa_are_one_number_for_each_task() -> None:
    numbers = {name: [task.values[0].value for task in reported(name)] for name in NAMES if name.startswith("roy")}
    assert numbers == {
        "roy-2020-mbert-en-en": [0.29, 0.36],
        "roy-2020-mbert-x-x": [0.23, 0.26],
        "roy-2020-mbert-x-x-mono": [0.52, 0.49],
        "roy-2020-mbert-x-y": [0.66, 0.49],
    }


def put(folder: Path, **changes: Any) -> Board:
    """Return a board with one reported entry that differs from a committed one."""
    import shutil

    shutil.copytree(BOARD.folder / "tasks", folder / "tasks")
    said = check_entry(BOARD, "roy-2020-mbert-x-y").entry.model_dump(exclude={"fingerprint"})
    entry = sealed(**{**said, "name": "paper", **changes})
    (folder / "entries" / "paper").mkdir(parents=True)
    (folder / "entries" / "paper" / ENTRY_FILE).write_bytes(canonical(entry.model_dump(mode="json")))
    return Board(folder)


XQUAD = {"task": "xquad-r", "aggregation": "micro", "document_text": None, "unstated": (), "values": (value(),)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": None}, "a reported one source and reported"),
        ({"reported": ()}, "a reported one source and reported"),
        ({"tasks": ("mini",)}, "a reported one source and reported"),
        ({"reported": (XQUAD, XQUAD)}, "xquad-r is reported twice"),
        ({"reported": ({**XQUAD, "task": "mldr"},)}, "unknown task of the leaderboard 'mldr'"),
        ({"reported": ({**XQUAD, "values": (value(number=66.0),)},)}, "write a fraction"),
        ({"reported": ({**XQUAD, "unstated": ("<b>",)},)}, "has markup"),
        ({"source": "see /data/paper.pdf"}, "an absolute path"),
    ],
)
def test_reported_entries_are_checked(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedEntry) as raised:
        check_entry(put(tmp_path, **changes), "paper")
    assert said in str(raised.value)


def test_the_same_task_may_be_reported_with_both_means(tmp_path: Path) -> None:
    both = (XQUAD, {**XQUAD, "aggregation": "macro"})
    assert check_entry(put(tmp_path, reported=both), "paper").pairs == {}
