"""MIRACL in its own format, end to end: real topics and judgments, corpora made for them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
from unit.tasks.readers.shards import plant, task_file

from mlbench.collection.languages import Setting
from mlbench.collection.records import Collection, Document, Query
from mlbench.errors import DataError
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.leaderboard.protocol import accept, protocol_fault
from mlbench.protocols import Parameter, Silence
from mlbench.ranking.run_files import SaveRun
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import Expected, Task, load_task
from tests.bench.miracl_protocol import accept_judged

FIFTEEN = "ar bn es fa fi fr hi id ja ko ru sw te th zh"
# The table in the published README, which has no de and no yo.
JUDGED = {"ar": 29_197, "bn": 4_206, "en": 8_350, "sw": 5_092, "te": 1_606, "zh": 3_928}


def planted(data_dir: Path, folder: Path, languages: Iterable[str], others: int = 0, share: float = 1.0) -> Path:
    """Write a corpus for each language's real topics and judgments, and a task beside them."""
    files = []
    for language in languages:
        for role, name in (("queries", "topics"), ("qrels", "qrels")):
            path = folder / f"{name}.miracl-v1.0-{language}-dev.tsv"
            path.write_bytes((data_dir / "miracl-v1.0-dev" / path.name).read_bytes())
            files.append((language, role, path))
        corpus = folder / f"miracl-corpus-v1.0-{language}"
        shards = plant(files[-2][2], files[-1][2], corpus, others, share)
        files += [(language, "documents", path) for path in shards]
    return task_file(folder, sorted(languages), files)


@pytest.fixture(scope="module")
def shipped() -> Task:
    return load_task("miracl")


class TestTaskFile:
    def test_counts(self, shipped: Task) -> None:
        assert len(shipped.languages) == 18
        assert sum(shipped.expected.queries.values()) == 13_495
        assert sum(shipped.expected.documents.values()) == 106_332_152
        assert (shipped.parallel, shipped.settings, shipped.bias_scores) == (False, ("monolingual",), ())
        assert (shipped.measures, shipped.primary_measure) == (("nDCG@10", "R@100"), "nDCG@10")

    def test_files(self, shipped: Task) -> None:
        shards = Counter(file.language for file in shipped.files if file.role == "documents")
        assert all(shards[tag] == -(-n // 500_000) for tag, n in shipped.expected.documents.items())
        unchecked = [file.path for file in shipped.files if file.checksum is None]
        assert unchecked == ["miracl-corpus-v1.0-yo/docs-0.jsonl.gz"]
        assert all(file.url for file in shipped.files if file.path not in unchecked)
        assert len({file.path for file in shipped.files}) == len(shipped.files) == 222 + 36

    def test_the_paper_s_languages_have_the_same_files_and_counts(self, shipped: Task) -> None:
        few = load_task("miracl-15")
        assert few.languages == tuple(FIFTEEN.split())
        assert few.files == shipped.files
        assert few.options == shipped.options
        for counts, all_counts in (
            (few.expected.queries, shipped.expected.queries),
            (few.expected.documents, shipped.expected.documents),
        ):
            assert counts == {tag: all_counts[tag] for tag in few.languages}

    def test_a_shard_that_is_nowhere(self, shipped: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLBENCH_OFFLINE", "1")
        with pytest.raises(
            DataError, match=r"miracl-corpus-v1.0-yo/docs-0.jsonl.gz is not on this machine.*DIR/"
        ) as caught:
            load_collection(shipped, languages=["yo", "sw"], data_dir=tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.data
def test_all_languages(data_dir: Path, tmp_path: Path, shipped: Task) -> None:
    task = load_task(str(planted(data_dir, tmp_path, shipped.languages)))
    collection = load_collection(task)
    assert {tag: len(rows) for tag, rows in collection.queries.items()} == shipped.expected.queries
    assert len(collection.judgments) == 13_495
    assert len({topic.partition(":")[2] for topic in collection.judgments}) == 9_372
    assert all(collection.judgments.values())
    documents = {row.doc_id for rows in collection.documents.values() for row in rows}
    assert {row.doc_id for rows in collection.judgments.values() for row in rows} <= documents
    for language, judged in JUDGED.items():
        lines = (tmp_path / f"qrels.miracl-v1.0-{language}-dev.tsv").read_text().split("\n")
        assert sum(map(bool, lines)) == judged
        assert len(collection.documents[language]) == len({line.split("\t")[2] for line in lines if line})


def independent(folder: Path, runs: Path, language: str) -> tuple[float, float]:
    """Return nDCG@10 and recall at 100 as pytrec_eval finds them from the published judgments, zeros and all."""
    judged: dict[str, dict[str, int]] = {}
    for line in (folder / f"qrels.miracl-v1.0-{language}-dev.tsv").read_text().split("\n"):
        if line:
            topic, _, docid, grade = line.split("\t")
            judged.setdefault(topic, {})[docid] = int(grade)
    run: dict[str, dict[str, float]] = {topic: {} for topic in judged}
    for line in (runs / f"{language}-{language}.trec").read_text().split("\n"):
        if line:
            topic, _, doc_id, _, score, _ = line.split()
            run[topic.partition(":")[2]][doc_id.split("-", 2)[2]] = float(score)
    found = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10", "recall.100"}).evaluate(run)
    assert len(found) == len(judged)
    return tuple(float(np.mean([row[name] for row in found.values()])) for name in ("ndcg_cut_10", "recall_100"))  # type: ignore[return-value]


@pytest.mark.data
def test_measures_are_those_of_pytrec_eval_on_the_published_judgments(data_dir: Path, tmp_path: Path) -> None:
    languages = ["ko", "sw", "yo"]
    task = planted(data_dir, tmp_path, languages, others=300, share=0.4)
    result = evaluate("hashing", task, options=Options(resamples=20, save_run=SaveRun(tmp_path / "runs", 100))).result
    assert result.bias is None
    values = {}
    for setting in result.settings:
        assert setting.kind == "monolingual"
        values[setting.query_language] = setting.measures
        ndcg, recall = independent(tmp_path, tmp_path / "runs", setting.query_language)
        assert setting.measures["nDCG@10"] == pytest.approx(ndcg, abs=1e-9)
        assert setting.measures["R@100"] == pytest.approx(recall, abs=1e-9)
        assert 0.1 < ndcg < 0.99
        assert 0.1 < recall <= 1
    (macro,) = (a for a in result.aggregates if a.aggregation == "macro" and a.query_language is None)
    assert macro.measures["nDCG@10"] == pytest.approx(np.mean([row["nDCG@10"] for row in values.values()]))
    assert macro.n_queries == 213 + 482 + 119


@dataclass(frozen=True)
class Late:
    """A ranker that puts two documents of no relevance before the relevant ones of each question."""

    relevant: Mapping[str, Sequence[str]]
    parameters: dict[str, Parameter] = field(default_factory=dict)

    def fingerprint(self) -> str:
        return "late"

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        others = [row.doc_id for row in documents if "other" in row.doc_id][:2]
        return [[*others, *self.relevant[query.topic_id]][:depth] for query in queries]


@pytest.mark.data
def test_a_known_order_gives_the_measures_that_a_hand_computes(data_dir: Path, tmp_path: Path) -> None:
    task = planted(data_dir, tmp_path, ["sw"], others=5)
    judgments = load_collection(load_task(str(task))).judgments
    relevant = {topic: [row.doc_id for row in rows] for topic, rows in judgments.items()}
    (setting,) = evaluate(Late(relevant), task, options=Options(resamples=0)).result.settings
    gains = [1 / log2(position + 1) for position in range(1, 11)]
    by_hand = [sum(gains[2 : 2 + len(rows)]) / sum(gains[: len(rows)]) for rows in relevant.values()]
    assert setting.n_queries == 482
    assert setting.measures["nDCG@10"] == pytest.approx(sum(by_hand) / 482, abs=1e-12)
    assert setting.measures["R@100"] == 1
    (exact,) = evaluate("hashing", task, options=Options(resamples=0)).result.settings
    assert (exact.measures["nDCG@10"] or 0) > 0.9, "documents say the first question that they answer"


class Told(Silence):
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.data
def test_a_sample_reads_one_language_and_tells_what_is_missing(data_dir: Path, tmp_path: Path) -> None:
    task = load_task(str(planted(data_dir, tmp_path, ["sw", "yo"], others=2000)))
    whole = load_collection(task, languages=["sw"])
    for path in tmp_path.glob("*-yo*/*"):
        path.unlink()
    assert load_collection(task, languages=["sw"]).fingerprint() == whole.fingerprint()
    few: Collection = load_collection(task, languages=["sw"], limit=5)
    assert few.fingerprint() == whole.sample(5).fingerprint()
    assert few.languages == ("sw",)
    assert len(few.judgments) == 5
    qrels = tmp_path / "qrels.miracl-v1.0-sw-dev.tsv"
    lines = qrels.read_text().splitlines(keepends=True)
    first = lines[0].split("\t")[0]
    qrels.write_text("".join(line for line in lines if line.split("\t")[0] != first) + "8\tQ0\tnowhere#0\t1\n")
    told = Told()
    load_collection(task, languages=["sw"], limit=5, progress=told)
    assert told.notes == [
        "planted: 1 topic has no relevant document and is left out",
        "planted: 1 relevant document is in no corpus and counts as never found",
    ]


@pytest.mark.data
def test_what_is_accepted_of_corpora_that_were_not_read_is_what_measuring_them_gives(
    data_dir: Path, tmp_path: Path
) -> None:
    task = load_task(str(planted(data_dir, tmp_path, ["sw", "yo"], others=300)))
    measured = evaluate("hashing", task, data_dir=tmp_path, options=Options(cache=tmp_path / "cache"))
    result = measured.result
    sizes = {setting.query_language: setting.n_documents for setting in result.settings}
    stated = task.model_copy(update={"expected": Expected(documents=sizes)})
    (tmp_path / "corpora").mkdir()
    judged, read = accept_judged(stated, tmp_path / "corpora", tmp_path), accept(result, measured.ranks)
    assert judged.task.fingerprint == ""
    texts = {"fingerprint": read.task.fingerprint, "fingerprints": read.task.fingerprints}
    assert judged.model_copy(update={"task": judged.task.model_copy(update=texts)}) == read
    assert protocol_fault(judged, result) == ""
    assert "task.version" in protocol_fault(
        judged, result.model_copy(update={"task": result.task.model_copy(update={"version": "0"})})
    )
