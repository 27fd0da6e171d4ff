import json
from pathlib import Path

import pytest

from mlbench.compare.reported import ReportedResult, is_reported, read_reported, reported_in
from mlbench.errors import InvalidResult

OF_2 = {
    "dataset_revision": "abc",
    "task_name": "MIRACLRetrieval",
    "mteb_version": "2.26.24",
    "scores": {
        "dev": [
            {"ndcg_at_10": 0.5, "recall_at_100": 0.75, "main_score": 0.5, "hf_subset": "th", "languages": ["tha-Thai"]},
            {"ndcg_at_10": 0.7, "mrr_at_10": 0.25, "main_score": 0.7, "hf_subset": "en", "languages": ["eng-Latn"]},
            {"ndcg_at_10": 0.1, "hf_subset": "x", "languages": ["eng-Latn", "tha-Thai"], "nauc_map_at_1_max": -0.2},
        ]
    },
    "evaluation_time": 12.5,
    "kg_co2_emissions": None,
}
OF_1_WITH_SUBSETS = {
    "dataset_revision": "abc",
    "mteb_dataset_name": "MIRACLRetrieval",
    "mteb_version": "1.2.0",
    "dev": {"th": {"ndcg_at_10": 0.5, "recall_at_100": 0.75}, "en-th": {"map_at_3": 0.5}, "evaluation_time": 3.5},
}
OF_1 = {
    "mteb_version": "0.0.2",
    "mteb_dataset_name": "NFCorpus",
    "test": {"evaluation_time": 9.25, "map_at_1": 0.0425, "ndcg_at_10": 0.3125, "precision_at_5": 0.25},
}


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_a_file_of_mteb_2(tmp_path: Path) -> None:
    found = read_reported(write(tmp_path / "MIRACLRetrieval.json", OF_2))
    assert (found.source, found.task, found.data) == ("mteb 2.26.24", "MIRACLRetrieval", "abc")
    assert [(each.split, each.subset, each.languages, each.kind) for each in found.settings] == [
        ("dev", "th", ("th",), "monolingual"),
        ("dev", "en", ("en",), "monolingual"),
        ("dev", "x", ("en", "th"), "cross_lingual"),
    ]
    assert found.settings[0].measures == {"nDCG@10": 0.5, "R@100": 0.75}
    assert found.mean("nDCG@10", "monolingual") == pytest.approx(0.6)
    assert found.mean("R@100", "monolingual") == 0.75
    assert found.mean("nDCG@10", "cross_lingual") == 0.1
    assert found.mean("nDCG@10", "multilingual") is None


def test_a_file_of_mteb_1_with_subsets(tmp_path: Path) -> None:
    found = read_reported(write(tmp_path / "MIRACLRetrieval.json", OF_1_WITH_SUBSETS))
    assert found.source == "mteb 1.2.0"
    assert [(each.subset, each.languages, each.measures) for each in found.settings] == [
        ("th", ("th",), {"nDCG@10": 0.5, "R@100": 0.75}),
        ("en-th", ("en", "th"), {"AP@3": 0.5}),
    ]


def test_a_file_of_mteb_before_1_without_subsets(tmp_path: Path) -> None:
    found = read_reported(write(tmp_path / "NFCorpus.json", OF_1))
    (setting,) = found.settings
    assert (found.task, setting.split, setting.languages) == ("NFCorpus", "test", ())
    assert setting.measures == {"AP@1": 0.0425, "nDCG@10": 0.3125, "P@5": 0.25}
    assert setting.kind == "monolingual"


def test_values_that_are_not_defined_are_passed_over(tmp_path: Path) -> None:
    text = json.dumps({**OF_1, "test": {"ndcg_at_10": 0.5, "nauc_map_at_1_std": float("nan"), "mrr_at_1": None}})
    assert "NaN" in text
    (tmp_path / "a.json").write_text(text)
    assert read_reported(tmp_path / "a.json").settings[0].measures == {"nDCG@10": 0.5}


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"name": "org/model", "revision": "r1"}, ("org/model", "r1")),
        (None, ("intfloat/e5", "fd1")),
        ({"name": 3}, ("intfloat/e5", "fd1")),
    ],
)
def test_the_model_is_that_of_the_folder(
    tmp_path: Path, meta: dict[str, object] | None, expected: tuple[str, str]
) -> None:
    path = write(tmp_path / "intfloat__e5" / "fd1" / "NFCorpus.json", OF_1)
    if meta is not None:
        write(path.with_name("model_meta.json"), meta)
    found = read_reported(path)
    assert (found.model, found.revision) == expected
    assert reported_in(path.parent) == [path]


def test_without_a_folder_the_model_is_the_name_of_the_file(tmp_path: Path) -> None:
    found = read_reported(write(tmp_path / "mine.json", OF_1))
    assert (found.model, found.revision) == ("mine", None)


@pytest.mark.parametrize(
    ("document", "expected"),
    [(OF_2, True), (OF_1, True), ({"task_name": "x"}, False), ([], False), ({"schema_version": "2.1"}, False)],
)
def test_what_is_a_result_of_mteb(tmp_path: Path, document: object, expected: bool) -> None:
    assert is_reported(write(tmp_path / "a.json", document)) == expected
    assert not is_reported(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON that can be used"),
        ("[]", "is no result of mteb"),
        (json.dumps({**OF_1, "test": {"ndcg_at_10": 31.25}}), "ndcg_at_10 is 31.25: mteb writes fractions"),
        (json.dumps({**OF_1, "test": {"ndcg_at_10": "high"}}), "ndcg_at_10 is 'high', no number"),
        (json.dumps({**OF_1, "test": {"cos_sim": {"spearman": 0.5}}}), "reports no measure of retrieval"),
        (json.dumps({"task_name": "x", "scores": 3}), "reports no measure of retrieval"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InvalidResult, match=says) as caught:
        read_reported(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_it_is_a_document_of_its_own(tmp_path: Path) -> None:
    found = read_reported(write(tmp_path / "a.json", OF_2))
    assert ReportedResult.model_validate_json(found.model_dump_json()) == found
