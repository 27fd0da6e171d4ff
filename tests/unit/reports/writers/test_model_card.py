from collections.abc import Sequence

import pytest
import yaml

from mlbench.reports.documents.result import results_report
from mlbench.reports.formatting import visible
from mlbench.reports.writers.model_card import write_model_card
from mlbench.results import Result


def model_card_report(results: Sequence[Result]) -> str:
    return write_model_card(results_report(results))


def test_has_the_macro_means_and_bias_scores(small: Result) -> None:
    (model,) = yaml.safe_load(model_card_report([small]))["model-index"]
    assert model["name"] == small.retriever.spec
    configs = [entry["dataset"]["config"] for entry in model["results"]]
    assert configs == ["monolingual", "cross_lingual", "multilingual", "multilingual"]
    for entry in model["results"]:
        assert entry["dataset"]["revision"] == small.task.fingerprint
        assert all(isinstance(metric["value"], float) for metric in entry["metrics"])
    means = {metric["type"]: metric["value"] for metric in model["results"][0]["metrics"]}
    mono = small.aggregate("monolingual")
    assert mono is not None
    expected = {"map": "AP", "mrr": "RR", "recall_at_1": "R@1", "ndcg_at_10": "nDCG@10", "success_at_10": "Success@10"}
    assert {ours: means[theirs] for theirs, ours in expected.items()} == pytest.approx(
        {name: mono.measures[name] for name in expected.values()}, abs=1e-6
    )
    assert small.bias is not None
    scores = {metric["type"]: metric["value"] for metric in model["results"][3]["metrics"]}
    assert scores == pytest.approx({score.name: score.value for score in small.bias.scores}, abs=1e-6)


def test_the_hub_reads_it(small: Result) -> None:
    cards = pytest.importorskip("huggingface_hub.repocard_data")
    index = yaml.safe_load(model_card_report([small, small]))["model-index"]
    name, results = cards.model_index_to_eval_results(index)
    assert name == small.retriever.spec
    assert len(results) == 2 * (3 * len(small.task.measures) + 16)
    assert {each.task_type for each in results} == {"text-retrieval"}


def test_several_models_stand_side_by_side(small: Result) -> None:
    other = small.model_copy(update={"retriever": small.retriever.model_copy(update={"spec": "other"})})
    models = yaml.safe_load(model_card_report([small, other, small]))["model-index"]
    assert [(model["name"], len(model["results"])) for model in models] == [(small.retriever.spec, 8), ("other", 4)]


def test_two_checkpoints_of_one_name_are_two_models(small: Result) -> None:
    other = small.model_copy(update={"retriever": small.retriever.model_copy(update={"fingerprint": "0" * 64})})
    models = yaml.safe_load(model_card_report([small, other]))["model-index"]
    assert [len(model["results"]) for model in models] == [4, 4]


@pytest.mark.parametrize("name", ["no", "1e3", "- a", "a: b # c", '"', "\\", "'", "{a}", "* &x !y"])
def test_names_stay_names(small: Result, name: str) -> None:
    spoiled = small.model_copy(update={"retriever": small.retriever.model_copy(update={"spec": name})})
    (model,) = yaml.safe_load(model_card_report([spoiled]))["model-index"]
    assert model["name"] == name


def test_training_is_a_comment(small: Result, trained_result: Result) -> None:
    card = model_card_report([trained_result, small])
    (line,) = (line for line in card.splitlines() if line.startswith("#"))
    assert line == (
        "# trained by recipe static-hybrid; seed 3; 4,000 steps; data ntrex, flores; no text of xquad-r, mlqa-r"
    )
    assert yaml.safe_load(card) == yaml.safe_load(model_card_report([small, small]))


def test_hostile_names_stay_names(hostile: Result) -> None:
    (model,) = yaml.safe_load(model_card_report([hostile]))["model-index"]
    assert model["name"] == visible(hostile.retriever.spec)
    assert {entry["dataset"]["type"] for entry in model["results"]} == {visible(hostile.task.name)}
