"""Benchmarks: what their files may say, the score of each task by hand, the mean's interval and Borda ranks."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from mlbench import cli
from mlbench.compare.benchmark import BenchmarkScores, Resampling, _with_borda, score_benchmark
from mlbench.compare.pairing import ResultWithRanks
from mlbench.errors import InvalidBenchmark, UserError
from mlbench.evaluation.verify import read_pair
from mlbench.results import results_in
from mlbench.tasks.benchmark import benchmark_names, load_benchmark

LANGUAGES = ("de", "en", "es")


def _write_task(folder: Path, n_topics: int, seed: int) -> None:
    """Write a folder of data: the words of each query stand in its document, and by chance in others."""
    random = np.random.RandomState(seed)
    folder.mkdir()
    for language in LANGUAGES:
        words = [[f"{language}{random.randint(40)}" for _ in range(4)] for _ in range(n_topics)]
        queries = [f'{{"id": "t{topic}", "text": "{" ".join(own[:2])}"}}' for topic, own in enumerate(words)]
        documents = [f'{{"id": "d{topic}", "text": "{" ".join(own)}"}}' for topic, own in enumerate(words)]
        (folder / f"queries.{language}.jsonl").write_text("\n".join(queries), encoding="utf-8")
        (folder / f"documents.{language}.jsonl").write_text("\n".join(documents), encoding="utf-8")
    (folder / "qrels.tsv").write_text(
        "\n".join(f"t{topic} 0 d{topic} 1" for topic in range(n_topics)), encoding="utf-8"
    )


BENCHMARK = """
name = "both"
title = "Both of them"

[[tasks]]
task = "one"

[[tasks]]
task = "two"
measure = "RR"
settings = ["monolingual"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a benchmark of two tasks, and the results of two models on both."""
    root = tmp_path_factory.mktemp("benchmark")
    _write_task(root / "one", 40, 1)
    _write_task(root / "two", 60, 2)
    (root / "both.toml").write_text(BENCHMARK, encoding="utf-8")
    models = ["--model", "small=hashing", "--model", "large=hashing", "--set", "small.dim=16", "--set", "large.dim=512"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(root / "cache"))
        run = ["run", "-q", "--benchmark", str(root / "both.toml"), *models, "--resamples", "100"]
        assert cli.call([*run, "--out", str(root / "results")]) == 0
    return root


def _read(folder: Path) -> list[ResultWithRanks]:
    return [ResultWithRanks(path, *read_pair(path)) for path in results_in(folder / "results")]


def _score(folder: Path, measured: list[ResultWithRanks] | None = None) -> BenchmarkScores:
    return score_benchmark(load_benchmark(str(folder / "both.toml")), measured or _read(folder), Resampling(seed=3))


def test_shipped_benchmarks_load_and_have_titles() -> None:
    assert benchmark_names() == ("bitext", "image-captions", "question-answering")
    for name in benchmark_names():
        loaded = load_benchmark(name)
        assert loaded.name == name
        assert loaded.title
        assert len(loaded.loaded) == len(loaded.tasks) >= 2


def test_scores_are_means_over_kinds_and_tasks(folder: Path) -> None:
    by_model: dict[str, dict[str, float]] = {}
    for one in _read(folder):
        mean = one.result.aggregate
        kinds = [mean(kind) for kind in ("monolingual", "cross_lingual", "multilingual")]
        values = [kind.measures["AP"] for kind in kinds if kind]
        own = mean("monolingual")
        expected = np.mean([value for value in values if value is not None]) if one.result.task.name == "one" else None
        by_model.setdefault(one.result.retriever.label, {})[one.result.task.name] = float(
            expected if expected is not None else (own and own.measures["RR"]) or np.nan
        )
    found = _score(folder)
    assert {model.model for model in found.models} == {"small", "large"}
    for model in found.models:
        for score in model.scores:
            assert score.value == pytest.approx(by_model[model.model][score.task], abs=1e-12)
        assert model.mean == pytest.approx(np.mean(list(by_model[model.model].values())), abs=1e-12)
    means = [model.mean or 0.0 for model in found.models]
    assert means == sorted(means, reverse=True)


def test_the_mean_is_surer_than_its_tasks(folder: Path) -> None:
    """Tasks are drawn independently: the variance of the mean of two is a quarter of the sum of theirs."""
    for model in _score(folder).models:
        widths = [score.interval.high - score.interval.low for score in model.scores if score.interval]
        assert model.interval is not None
        assert model.interval.high - model.interval.low == pytest.approx(np.hypot(*widths) / 2, rel=0.1)


def _with_values(folder: Path, values: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float | None, int | None]]:
    """Return Borda points and ranks of models whose results are copies, under these names, of ours."""
    shown = _score(folder).models[0]
    models = [
        shown.model_copy(
            update={
                "model": name,
                "scores": tuple(
                    score.model_copy(update={"value": value}) for score, value in zip(shown.scores, both, strict=True)
                ),
            }
        )
        for name, both in values.items()
    ]
    return {model.model: (model.borda_points, model.borda_rank) for model in _with_borda(models)}


def test_borda_ranks_are_those_of_average_ranks(folder: Path) -> None:
    """With n - rank points for each task, ranks of ties averaged, and the smallest rank for ties of the sums."""
    random = np.random.RandomState(5)
    values = {f"m{i}": (float(a), float(b)) for i, (a, b) in enumerate(random.randint(0, 4, size=(9, 2)) / 4)}
    table = np.array(list(values.values()))
    points = (len(table) - rankdata(-table, axis=0)).sum(axis=1)
    ranks = rankdata(-points, method="min")
    assert _with_values(folder, values) == {
        name: (float(sum_), int(rank)) for name, sum_, rank in zip(values, points, ranks, strict=True)
    }


def test_a_model_without_a_task_has_no_mean(folder: Path) -> None:
    measured = [one for one in _read(folder) if (one.result.retriever.label, one.result.task.name) != ("large", "two")]
    first, last = _score(folder, measured).models
    assert (first.model, first.borda_rank) == ("small", 1)
    assert (last.model, last.mean, last.interval, last.borda_rank, last.missing) == (
        "large",
        None,
        None,
        None,
        ("two",),
    )


def test_a_measure_above_1_has_an_interval_around_it(folder: Path, tmp_path: Path) -> None:
    """The gain of graded RBP is the grade, so that its limits are no 0 and 1."""
    text = f'name = "graded"\n[[tasks]]\ntask = "{folder / "one"}"\nmeasure = "RBP(p=0.5)"'
    (tmp_path / "graded.toml").write_text(text, encoding="utf-8")
    graded = [
        replace(each, held=replace(each.ranks, row_grades=each.ranks.row_grades * 10))
        for each in _read(folder)
        if each.result.task.name == "one"
    ]
    for model in score_benchmark(load_benchmark(str(tmp_path / "graded.toml")), graded).models:
        assert model.mean is not None
        assert model.interval is not None
        assert 1 < model.interval.low < model.mean < model.interval.high


def test_what_cannot_be_scored_is_told(folder: Path) -> None:
    measured = _read(folder)
    with pytest.raises(UserError, match="no result is of a task of both: measure one, two"):
        score_benchmark(load_benchmark(str(folder / "both.toml")), [])
    with pytest.raises(UserError, match="large has two results of one"):
        _score(folder, [*measured, measured[0]])
    other = measured[0].result.task.model_copy(update={"limit": 3})
    shorter = replace(measured[0], result=measured[0].result.model_copy(update={"task": other}))
    with pytest.raises(UserError, match=r"one: .* differ in limit: measure all models alike"):
        _score(folder, [*measured[1:], shorter])
    retriever = measured[0].result.retriever.model_copy(update={"fingerprint": "0" * 64})
    swapped = replace(measured[0], result=measured[0].result.model_copy(update={"retriever": retriever}))
    with pytest.raises(UserError, match="are of two models called large"):
        _score(folder, [swapped, *measured[1:]])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('name = "x"', "tasks: is missing"),
        ('name = "x"\ntasks = []', "must not be empty"),
        ('name = "x"\n[[tasks]]\ntask = "mini"\nmeasure = "nope"', "unknown measure 'nope'"),
        ('name = "x"\n[[tasks]]\ntask = "mini"\nmeasure = "bpref"', "'bpref' does not follow from ranks"),
        ('name = "x"\n[[tasks]]\ntask = "mini"\nmeasure = "NumRel"', "'NumRel' is neither better when higher nor"),
        ('name = "x"\n[[tasks]]\ntask = "mini"\nsettings = ["text_to_image"]', "mini has no text_to_image settings"),
        ('name = "x"\n[[tasks]]\ntask = "mini"\n[[tasks]]\ntask = "mini"\nmeasure = "RR"', "mini is there twice"),
        ('name = "x"\n[[tasks]]\ntask = "mini"\n[[tasks]]\ntask = "mini"', r"tasks: 'mini' is there twice$"),
        ('name = "x"\nweight = 2\n[[tasks]]\ntask = "mini"', "weight"),
    ],
)
def test_faults_of_a_file_are_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidBenchmark, match=told):
        load_benchmark(str(tmp_path / "x.toml"))


def test_a_task_in_one_language_is_scored_by_the_settings_that_it_has(tmp_path: Path) -> None:
    _write_task(tmp_path / "own", 20, 3)
    for path in [*(tmp_path / "own").glob("*.de.jsonl"), *(tmp_path / "own").glob("*.es.jsonl")]:
        path.unlink()
    text = 'name = "x"\n[[tasks]]\ntask = "own"\n'
    (tmp_path / "x.toml").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
        run = ["run", "-q", "--benchmark", str(tmp_path / "x.toml"), "--model", "hashing", "--resamples", "50"]
        assert cli.call([*run, "--out", str(tmp_path / "results")]) == 0
    measured = _read(tmp_path)
    scores = score_benchmark(load_benchmark(str(tmp_path / "x.toml")), measured, Resampling(resamples=50))
    assert scores.tasks[0].settings == ("monolingual",)
    assert scores.models[0].mean == pytest.approx(measured[0].result.settings[0].measures["AP"])
    (tmp_path / "x.toml").write_text(text + 'settings = ["multilingual"]', encoding="utf-8")
    with pytest.raises(InvalidBenchmark, match="own has no multilingual settings"):
        load_benchmark(str(tmp_path / "x.toml"))
