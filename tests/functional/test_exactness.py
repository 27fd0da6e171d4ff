"""Results on whole tasks against trec_eval, loops and chance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from functional.reference import check, some_settings

from mlbench.collection.languages import settings_of
from mlbench.evaluation.evaluate import evaluate, measure
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import verify
from mlbench.open_model import LoadedModel
from mlbench.protocols import Parameter, Role, Runtime, Similarity, Vectors
from mlbench.results import Result
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task


class ConstantScorer:
    """An encoder that knows queries from documents and nothing else: every document scores the same."""

    dim = 2
    similarity: Similarity = "cosine"

    @property
    def parameters(self) -> dict[str, Parameter]:
        return {}

    def fingerprint(self, role: Role) -> str:
        return f"constant {role}"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        return np.tile(np.float32([1, 1e-3] if role == "query" else [1, -1e-3]), (len(texts), 1))


def coarse_hashing() -> LoadedModel:
    return Options(settings={"dim": "64"}).open_model("hashing")


def test_mini_equals_trec_eval_and_loops(tmp_path: Path) -> None:
    figures = check(coarse_hashing(), "mini", None, None, tmp_path)
    assert len(figures) == 30 * 6 + 2
    assert max(figure.difference for figure in figures) < 1e-9


@pytest.mark.data
def test_xquad_r_equals_trec_eval_and_loops(data_dir: Path, tmp_path: Path) -> None:
    settings = some_settings(load_collection(load_task("xquad-r"), data_dir=data_dir))
    assert len(settings) >= 30
    assert sum(setting.kind == "multilingual" for setting in settings) >= 4
    figures = check(coarse_hashing(), "xquad-r", settings, data_dir, tmp_path)
    assert len(figures) == len(settings) * 6 + 2
    assert max(figure.difference for figure in figures) < 1e-6


@pytest.mark.data
def test_mlqa_r_equals_trec_eval_and_loops(data_dir: Path, tmp_path: Path) -> None:
    collection = load_collection(load_task("mlqa-r"), data_dir=data_dir)
    settings = [*settings_of(collection.languages)[:49:5], settings_of(collection.languages, ["multilingual"])[0]]
    figures = check(coarse_hashing(), "mlqa-r", settings, data_dir, tmp_path)
    assert max(figure.difference for figure in figures) < 1e-6


def run_constant(task: str, data_dir: Path | None, cache: Path) -> Result:
    return measure(
        LoadedModel(ConstantScorer(), "constant"), task, data_dir=data_dir, options=Options(cache=cache, resamples=2)
    ).result


def assert_like_chance(result: Result, tolerance: float) -> None:
    bias = result.bias
    assert bias
    distance, preference = bias.score("rank_distance"), bias.score("own_language_preference")
    assert distance
    assert preference
    assert distance.value == pytest.approx(distance.references["chance"], rel=tolerance)
    # The order is the same for every query, so each pair of languages wins once and loses once.
    assert preference.value == pytest.approx(0.5, abs=1e-12)
    assert bias.warning
    assert bias.warning.startswith("100.0% of the relevant documents tie")
    assert {setting.tied_share for setting in result.settings} == {1.0}


@pytest.mark.data
def test_a_constant_scorer_is_as_far_from_fair_as_chance(data_dir: Path, tmp_path: Path) -> None:
    result = run_constant("xquad-r", data_dir, tmp_path)
    assert_like_chance(result, 0.03)
    assert result.bias
    distance = result.bias.score("rank_distance")
    assert distance
    assert distance.references["chance"] == pytest.approx(10_845.8, abs=0.05)


def test_a_constant_scorer_on_mini_is_within_the_error_of_24_topics(tmp_path: Path) -> None:
    m, topics = 11, 24
    spread = np.sqrt(2 * (m - 1) / ((m + 1) ** 2 * (m + 2))) * (m + 1) / (m - 1) / np.sqrt(topics)
    assert_like_chance(run_constant("mini", None, tmp_path), 4 * spread)


def test_ranks_do_not_depend_on_threads(tmp_path: Path) -> None:
    every = [Options(runtime=Runtime(threads=n), cache=tmp_path / str(n), resamples=2) for n in (1, 2, None)]
    found = [measure(options.open_model("hashing"), "mini", options=options) for options in every]
    assert found[0].ranks_file == found[1].ranks_file == found[2].ranks_file
    assert found[0].result.settings == found[1].result.settings


def test_a_corpus_that_ties_as_a_whole_can_be_verified(tmp_path: Path) -> None:
    result = evaluate(
        ConstantScorer(), "mini", out=tmp_path, options=Options(cache=tmp_path / "cache", resamples=50)
    ).result
    (path,) = tmp_path.glob("*.json")
    assert result.settings[0].tied_share == 1
    assert verify(path).differences == ()
