"""What other tools read and write: files of mteb, per-topic Parquet, and results for the hub."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml

from mlbench.cli import call
from mlbench.reports.eval_results import eval_results
from mlbench.results import read_result

Captured = pytest.CaptureFixture[str]
KINDS = ("monolingual", "cross-lingual", "multilingual")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a result in two languages, and its run files."""
    folder = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        arguments = ["--model", "hashing", "--task", "mini", "--languages", "en,th", "--resamples", "50"]
        arguments += ["--out", str(folder), "--save-run", str(folder / "runs"), "--depth", "1000"]
        assert call(["run", "-q", *arguments]) == 0
    return folder


@pytest.fixture
def document(measured: Path) -> Path:
    (path,) = measured.glob("mini*.json")
    return path


def mteb_of(document: Path, folder: Path) -> dict[str, dict[str, object]]:
    """Write the files of mteb, and return them by name."""
    assert call(["report", str(document), "--format", "mteb", "--output", str(folder)]) == 0
    return {path.name: json.loads(path.read_text()) for path in folder.rglob("*.json")}


def error_of(capsys: Captured, *arguments: str) -> str:
    """Run a command that must fail with one line, and return that line."""
    capsys.readouterr()
    assert call(list(arguments)) == 2
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    return line


def trec_means(folder: Path, setting: str, names: Mapping[str, str]) -> dict[str, float]:
    """Return means of trec_eval's measures over a run file that mlbench wrote."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for line in (folder / f"{setting}.qrels").read_text().splitlines():
        topic, _, doc_id, grade = line.split()
        qrels.setdefault(topic, {})[doc_id] = int(grade)
    for line in (folder / f"{setting}.trec").read_text().splitlines():
        topic, _, doc_id, _, score, _ = line.split()
        run.setdefault(topic, {})[doc_id] = float(score)
    found = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(run)
    return {ours: float(np.mean([row[theirs] for row in found.values()])) for ours, theirs in names.items()}


def test_mteb_files_have_the_scores_of_trec_eval(measured: Path, document: Path, tmp_path: Path) -> None:
    files = mteb_of(document, tmp_path)
    cutoffs = (1, 3, 5, 10, 20, 100, 1000)
    theirs = {"ndcg": "ndcg_cut", "map": "map_cut", "recall": "recall", "precision": "P", "hit_rate": "success"}
    names = {f"{ours}_at_{k}": f"{name}_{k}" for ours, name in theirs.items() for k in cutoffs}
    for kind in KINDS:
        for row in files[f"mini-{kind}.json"]["scores"]["test"]:  # type: ignore[index]
            subset = row["hf_subset"]
            stem = subset if "-" in subset else f"{subset}-{subset}"
            expected = trec_means(measured / "runs", stem, names)
            assert {name: row[name] for name in names} == pytest.approx(expected, abs=1e-6)
            assert row["main_score"] == row["ndcg_at_10"]
            assert row["accuracy"] == row["recall_at_1"]
            # Every query has one relevant document in a language: then AP is RR.
            if kind != "multilingual":
                assert row["mrr_at_1000"] == row["map_at_1000"]


def test_mteb_takes_the_mean_that_we_report(document: Path, tmp_path: Path) -> None:
    files, result = mteb_of(document, tmp_path), read_result(document)
    for kind in KINDS:
        rows = files[f"mini-{kind}.json"]["scores"]["test"]  # type: ignore[index]
        mean = result.aggregate(kind.replace("-", "_"))  # type: ignore[arg-type]
        assert mean is not None
        assert np.mean([row["main_score"] for row in rows]) == pytest.approx(mean.measures["nDCG@10"], abs=1e-6)
    cross = {row["hf_subset"]: row["languages"] for row in files["mini-cross-lingual.json"]["scores"]["test"]}  # type: ignore[index]
    assert cross == {"en-th": ["eng-Latn", "tha-Thai"], "th-en": ["eng-Latn", "tha-Thai"]}


def test_mteb_itself_reads_the_files(document: Path, tmp_path: Path) -> None:
    task_result = pytest.importorskip("mteb.results.task_result")
    model_meta = pytest.importorskip("mteb.models.model_meta")
    mteb_of(document, tmp_path)
    result = read_result(document)
    for kind in KINDS:
        (path,) = tmp_path.rglob(f"mini-{kind}.json")
        mean = result.aggregate(kind.replace("-", "_"))  # type: ignore[arg-type]
        assert mean is not None
        found = task_result.TaskResult.from_disk(path)
        assert found.get_score() == pytest.approx(mean.measures["nDCG@10"], abs=1e-6)
    (meta,) = tmp_path.rglob("model_meta.json")
    assert model_meta.ModelMeta.model_validate(json.loads(meta.read_text())).embed_dim == result.retriever.dim


def test_model_meta_has_what_is_known(document: Path, tmp_path: Path) -> None:
    known = json.loads(document.read_text())
    known["retriever"]["registry"] = {
        "name": "intfloat/multilingual-e5-small",
        "made_from": False,
        "applied": {},
        "unconfirmed": [],
        "trained_on": {},
        "seen": [],
    }
    place = document.with_name("known.json")
    place.write_text(json.dumps(known))
    meta = mteb_of(place, tmp_path)["model_meta.json"]
    place.unlink()
    assert meta["name"] == "intfloat/multilingual-e5-small"
    assert (meta["license"], meta["max_tokens"], meta["use_instructions"]) == ("mit", 512, True)
    assert (meta["embed_dim"], meta["similarity_fn_name"]) == (1024, "cosine")
    assert next(tmp_path.iterdir()).name == "intfloat__multilingual-e5-small"


def test_reported_numbers_stand_beside_measured_ones(document: Path, tmp_path: Path, capsys: Captured) -> None:
    mteb_of(document, tmp_path)
    (theirs,) = tmp_path.rglob("mini-monolingual.json")
    capsys.readouterr()
    assert call(["report", str(document), str(theirs)]) == 0
    shown = capsys.readouterr().out
    assert "measured here" in shown
    assert "reported (mteb's format)" in shown
    assert "can be neither verified nor tested" in shown
    assert call(["report", str(document), str(theirs), "--output", "-", "--format", "csv", "--measure", "nDCG@10"]) == 0
    rows = list(csv.reader(capsys.readouterr().out.splitlines()))
    values = {(row[2], row[3], row[5]): row[6] for row in rows}
    assert float(values["reported (mteb's format)", "monolingual", "nDCG@10"]) == pytest.approx(
        float(values["measured here", "monolingual", "nDCG@10"]), abs=1e-6
    )
    assert call(["report", str(document), str(theirs), "--json"]) == 0
    ours, reported = json.loads(capsys.readouterr().out)
    assert ours["schema_version"] == "2.1"
    assert reported["task"] == "mini-monolingual"


def test_differences_from_reported_numbers_are_not_tested(document: Path, tmp_path: Path, capsys: Captured) -> None:
    mteb_of(document, tmp_path)
    (theirs,) = tmp_path.rglob("mini-monolingual.json")
    changed = json.loads(theirs.read_text())
    for row in changed["scores"]["test"]:
        row["ndcg_at_10"] = round(row["ndcg_at_10"] - 0.125, 6)
    theirs.write_text(json.dumps(changed))
    capsys.readouterr()
    assert call(["compare", str(theirs), str(document), "--write", str(tmp_path / "c.csv")]) == 0
    shown = capsys.readouterr().out
    assert "no test is possible: reported numbers have no ranks" in shown
    assert "mini-monolingual and mini (en, th only) may be other data" in shown
    rows = list(csv.reader((tmp_path / "c.csv").read_text().splitlines()))
    differences = {(row[0], row[1]): float(row[4].lstrip("'")) for row in rows[1:]}
    assert differences["monolingual (2)", "nDCG@10"] == pytest.approx(0.125, abs=1e-5)
    assert differences["th", "nDCG@10"] == pytest.approx(0.125, abs=1e-5)
    assert differences["monolingual (2)", "R@10"] == pytest.approx(0, abs=1e-5)


def test_a_folder_of_one_result_of_mteb_is_a_side(document: Path, tmp_path: Path, capsys: Captured) -> None:
    mteb_of(document, tmp_path)
    (theirs,) = tmp_path.rglob("mini-monolingual.json")
    assert f"has 3 results of mteb: name one of them, such as {theirs.parent}" in error_of(
        capsys, "compare", str(theirs.parent), str(document)
    )
    alone = tmp_path / "alone"
    alone.mkdir()
    theirs.rename(alone / theirs.name)
    for side in (document, document.parent):
        assert call(["compare", str(alone), str(side)]) == 0
        assert "no test is possible" in capsys.readouterr().out
    assert call(["compare", str(alone), str(tmp_path / "nothing")]) == 2


def test_files_of_mteb_stay_in_their_folder_whatever_a_result_says(document: Path, tmp_path: Path) -> None:
    told = json.loads(document.read_text())
    told["retriever"]["fingerprint"] = f"../../..{tmp_path}/out"
    told["retriever"]["name"] = "../a\\b"
    place = document.with_name("other.json")
    place.write_text(json.dumps(told))
    try:
        mteb_of(place, tmp_path / "into" / "deeper")
    finally:
        place.unlink()
    (model,) = (tmp_path / "into" / "deeper").iterdir()
    assert model.name == "..__a_b"
    assert [path.name for path in tmp_path.iterdir()] == ["into"]
    assert len(list(model.rglob("*.json"))) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("compare", "{ours}", "{theirs}", "--drop", "AP=0.1"), "--drop needs ranks on both sides"),
        (("compare", "{ours}", "{other}"), "have no measure in common"),
        (("report", "{theirs}", "--pool", "en,th"), "reported numbers have no --pool"),
        (("report", "{theirs}", "--format", "parquet"), "has no ranks, which the format parquet is made from"),
        (("report", "{theirs}", "--measure", "R@7"), "R@7 is neither measured nor reported"),
        (("report", "{ours}", "--format", "mteb", "--measure", "AP"), "the format mteb has measures of its own"),
        (("report", "{ours}", "--format", "parquet", "--measure", "bpref"), "Bpref does not follow from the ranks"),
        (("report", "{ours}", "--format", "eval-results"), "results are of whole tasks"),
        (("report", "{ours}", "--format", "mteb", "--output", "-"), "the format mteb is a folder of files"),
        (("report", "{ours}", "--format", "mteb", "--output", "{ours}"), "{ours} is a result: name another file"),
        (("report", "{ours}", "--format", "parquet", "--output", "{ours}"), "{ours} is a result: name another file"),
        (("report", "{ours}", "--format", "mteb", "--output", "{theirs}"), "cannot write {theirs}"),
        (("report", "{ours}", "--format", "parquet", "--output", "{theirs}/x"), "cannot write {theirs}: File exists"),
        (("verify", "{theirs}"), "schema_version is missing"),
    ],
)
def test_what_reported_numbers_cannot_do(
    arguments: tuple[str, ...], says: str, document: Path, tmp_path: Path, capsys: Captured
) -> None:
    mteb_of(document, tmp_path)
    (theirs,) = tmp_path.rglob("mini-monolingual.json")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"mteb_dataset_name": "x", "test": {"precision_at_7": 0.5}}))
    names = {"ours": str(document), "theirs": str(theirs), "other": str(other)}
    assert says.format_map(names) in error_of(capsys, *(argument.format_map(names) for argument in arguments))


def test_parquet_has_every_query_of_every_setting(document: Path, tmp_path: Path, capsys: Captured) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "scores.parquet"
    assert call(["report", str(document), "--output", str(path)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    frame = pandas.read_parquet(path)
    assert list(frame.columns) == [
        *("task", "model", "kind", "query_language", "document_languages"),
        *("topic", "cluster", "measure", "value"),
    ]
    result = read_result(document)
    means = frame.groupby(["query_language", "document_languages", "measure"], observed=True).value.agg(
        ["mean", "size"]
    )
    assert len(means) == len(result.settings) * len(result.task.measures)
    for setting in result.settings:
        for name, value in setting.measures.items():
            found = means.loc[(setting.query_language, "+".join(setting.document_languages), name)]
            assert found["mean"] == pytest.approx(value, abs=1e-12)
            assert found["size"] == setting.n_queries
    assert frame.cluster.nunique() == result.statistics.n_clusters
    assert set(frame.task) == {"mini"}
    assert set(frame.model) == {"hashing"}


def test_parquet_of_one_measure_beside_the_result(document: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    assert call(["report", str(document), "--format", "parquet", "--measure", "R@7"]) == 0
    frame = pandas.read_parquet(document.with_suffix(".parquet"))
    assert set(frame.measure) == {"R@7"}


def test_results_for_the_hub(document: Path, tmp_path: Path) -> None:
    whole = json.loads(document.read_text())
    whole["task"] |= {"name": "miracl", "partial": False}
    place = document.with_name("whole.json")
    place.write_text(json.dumps(whole))
    output = tmp_path / ".eval_results" / "miracl.yaml"
    output.parent.mkdir()
    assert call(["report", str(place), "--output", str(output)]) == 0
    place.unlink()
    entries = yaml.safe_load(output.read_text())
    result = read_result(document)
    assert [entry["dataset"]["task_id"] for entry in entries] == [
        "miracl_monolingual",
        "miracl_cross_lingual",
        "miracl_multilingual",
    ]
    for entry, kind in zip(entries, ("monolingual", "cross_lingual", "multilingual"), strict=True):
        mean = result.aggregate(kind)  # type: ignore[arg-type]
        assert mean is not None
        assert mean.measures["AP"] is not None
        assert entry["value"] == pytest.approx(100 * mean.measures["AP"], abs=1e-4)
        assert entry["dataset"]["id"].startswith("miracl/")
        assert entry["date"] == result.cost.finished_at[:10]
        assert "mAP x 100, macro mean over" in entry["notes"]
    hub = pytest.importorskip("huggingface_hub")
    parsed = hub.parse_eval_result_entries(entries)
    assert [each.value for each in parsed] == [entry["value"] for entry in entries]


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("webfaq", ("mteb/WebFAQRetrieval", "f64f483ad0f31d2e78209d524c14a4a867965959")),
        ("ciral", ("CIRAL/ciral-corpus", "14014f1176efd938fee69a031fc3ff4bc8f5f14c")),
    ],
)
def test_results_for_the_hub_name_the_data_of_a_task(task: str, data: tuple[str, str], document: Path) -> None:
    result = read_result(document)
    named = result.model_copy(update={"task": result.task.model_copy(update={"name": task, "partial": False})})
    (first, *_) = yaml.safe_load(eval_results([named]))
    assert (first["dataset"]["id"], first["dataset"]["revision"]) == data


def test_results_for_the_hub_need_data_of_the_hub(tmp_path: Path, capsys: Captured, document: Path) -> None:
    whole = json.loads(document.read_text())
    whole["task"] |= {"partial": False}
    place = document.with_name("whole.json")
    place.write_text(json.dumps(whole))
    assert "the files of mini are from elsewhere: use the format model-card" in error_of(
        capsys, "report", str(place), "--format", "eval-results"
    )
    place.unlink()


def test_parquet_goes_to_stdout_as_it_is(document: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arguments = ["report", str(document), "--format", "parquet", "--measure", "R@7", "--output", "-"]
    code = "import sys; from mlbench.cli import call; sys.exit(call(sys.argv[1:]))"
    written = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True, cwd=tmp_path)
    assert set(parquet.read_table(io.BytesIO(written.stdout)).column("measure").to_pylist()) == {"R@7"}
    assert list(tmp_path.iterdir()) == []


def test_a_quick_look_is_no_result_of_mteb(tmp_path: Path, capsys: Captured) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
        arguments = [
            "--model",
            "hashing",
            "--task",
            "mini",
            "--languages",
            "en,th",
            "--limit",
            "4",
            "--resamples",
            "50",
        ]
        assert call(["run", "-q", *arguments, "--out", str(tmp_path / "limited")]) == 0
    (limited,) = (tmp_path / "limited").glob("*.json")
    assert "mteb's results are of all topics" in error_of(capsys, "report", str(limited), "--format", "mteb")
