"""`mlbench benchmarks`, and the mean over tasks of `run --benchmark` and `report --benchmark`."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

BENCHMARK = 'name = "two"\ntitle = "Two tasks"\n[[tasks]]\ntask = "mini"\n[[tasks]]\ntask = "own/part.toml"\n'


@pytest.fixture
def benchmark(mlbench: CommandLine) -> Path:
    """Return the file of a benchmark of `mini` and of a part of it under another name."""
    (mlbench.folder / "own").mkdir()
    own = 'extends = "mini"\nname = "part"\nlanguages = ["de", "en"]\n'
    (mlbench.folder / "own" / "part.toml").write_text(own, encoding="utf-8")
    path = mlbench.folder / "two.toml"
    path.write_text(BENCHMARK, encoding="utf-8")
    return path


def test_are_listed_and_shown(mlbench: CommandLine) -> None:
    assert "question-answering" in mlbench("benchmarks").out
    shown = mlbench("benchmarks", "question-answering").out
    assert "task           xquad-r: mAP, mean of monolingual, cross-lingual, multilingual; 11 languages\n" in shown
    (one,) = json.loads(mlbench("benchmarks", "question-answering", "--json").out)
    assert [task["task"] for task in one["tasks"]] == ["xquad-r", "mlqa-r"]
    failed = mlbench("benchmarks", "question-answer")
    assert (failed.code, failed.out) == (2, "")
    assert "question-answering" in failed.err


def test_a_run_ends_with_the_mean_that_a_report_computes_again(mlbench: CommandLine, benchmark: Path) -> None:
    models = ("--model", "small=hashing", "--model", "large=hashing", "--set", "small.dim=16")
    ran = mlbench("run", "-q", "--benchmark", benchmark.name, *models, "--resamples", "50")
    assert ran.code == 0, ran.err
    table = ran.out[ran.out.index("Two tasks (version 1)") :]
    assert table.index("large") < table.index("small")
    document = json.loads(mlbench("report", "results", "--benchmark", benchmark.name, "--json").out)
    scores = document[0] if isinstance(document, list) else document
    assert [model["model"] for model in scores["models"]] == ["large", "small"]
    assert [model["borda_rank"] for model in scores["models"]] == [1, 2]
    assert [task["task"] for task in scores["tasks"]] == ["mini", "part"]
    written = mlbench("report", "results", "--benchmark", benchmark.name, "--output", "scores.csv")
    assert written.code == 0, written.err
    assert len((mlbench.folder / "scores.csv").read_text(encoding="utf-8").splitlines()) == 1 + 2 * 3


def test_a_part_of_a_task_is_told(mlbench: CommandLine, benchmark: Path) -> None:
    ran = mlbench("run", "-q", "--benchmark", benchmark.name, "--model", "hashing", "--limit", "3")
    assert ran.code == 0, ran.err
    assert "these are not the benchmark's scores" in ran.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "--benchmark", "two.toml", "--task", "mini"), "--benchmark names the tasks: leave out --task"),
        (("run", "--benchmark", "two.toml", "--against", "results"), "leave out --benchmark"),
        (("run", "--benchmark", "nope"), "unknown benchmark 'nope'"),
        (("run", "--benchmark", "nope.toml"), "there is no benchmark file nope.toml"),
        (("run", "--task", "mini,"), "--task has an empty name"),
        (("run", "--task", "mini,minni"), "unknown task 'minni'"),
        (("run", "--task", "own/{0,1}.tar,mini"), "own/{0,1}.tar: 1 fault: folder: there are no files"),
        (("report", ".", "--benchmark", "two.toml", "--pool", "de"), "leave out --pool"),
    ],
)
def test_wrong_arguments_are_one_line(
    mlbench: CommandLine, benchmark: Path, arguments: tuple[str, ...], told: str
) -> None:
    failed = mlbench(*arguments)
    assert (failed.code, failed.out) == (2, "")
    assert told in failed.err.splitlines()[-1]


def test_tasks_are_named_with_commas(mlbench: CommandLine, benchmark: Path) -> None:
    ran = mlbench("run", "-q", "--task", "mini,own/part.toml", "--model", "hashing", "--resamples", "50", "--json")
    assert ran.code == 0, ran.err
    assert [each["task"]["name"] for each in json.loads(ran.out)] == ["mini", "part"]


def test_tasks_are_listed_by_language_and_kind(mlbench: CommandLine) -> None:
    thai = json.loads(mlbench("tasks", "list", "--language", "th", "--kind", "text", "--json").out)
    assert thai
    assert all("th" in task["languages"] and task["kind"] == "text" for task in thai)
    everything = json.loads(mlbench("tasks", "list", "--json").out)
    assert len(thai) < len(everything)
    assert "MIRACL dev" in mlbench("tasks", "list").out
