"""Folders in BEIR's layout from file to number, against other ways to the same number."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlbench import Runtime, evaluate, open_retriever
from mlbench.errors import UserError

WORDS = ["river", "hill", "salt", "sea", "wind", "sail", "bridge", "bank", "stone", "bread", "milk", "field"]


def text(draw: np.random.RandomState, length: int) -> str:
    return " ".join(draw.choice(WORDS, length))


def write(folder: Path, language: str, seed: int = 0) -> None:
    """Write forty documents, half of them with a title, and twelve queries with grades of 0, 1 and 2."""
    draw = np.random.RandomState(seed)
    corpus = [
        {"_id": f"d{number}", "title": text(draw, 2) if number % 2 else "", "text": text(draw, 6)}
        for number in range(40)
    ]
    queries = [{"_id": f"q{number}", "text": text(draw, 4)} for number in range(12)]
    rows = [f"q{number}\td{doc}\t{grade}" for number in range(12) for grade, doc in enumerate(draw.permutation(40)[:3])]
    (folder / language / "qrels").mkdir(parents=True)
    for name, lines in (("corpus", corpus), ("queries", queries)):
        (folder / language / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines), "utf-8")
    (folder / language / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]), "utf-8")


def test_measures_are_those_of_pytrec_eval_on_the_texts_that_beir_joins(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    write(tmp_path, "en")
    folder, model = tmp_path / "en", open_retriever("hashing", {}, Runtime())
    corpus, queries = (
        [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        for name in ("corpus", "queries")
    )
    joined = [(row["title"] + " " + row["text"]).strip() for row in corpus]
    documents = np.asarray(model.encode(joined, "document"), np.float64)
    asked = np.asarray(model.encode([row["text"] for row in queries], "query"), np.float64)
    scores = (asked / np.linalg.norm(asked, axis=1)[:, None]) @ (
        documents / np.linalg.norm(documents, axis=1)[:, None]
    ).T
    run = {
        query["_id"]: {row["_id"]: float(score) for row, score in zip(corpus, line, strict=True)}
        for query, line in zip(queries, scores, strict=True)
    }
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]:
        topic, document, grade = line.split("\t")
        qrels.setdefault(topic, {})[document] = int(grade)
    found = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map", "recall.10"}).evaluate(run)
    (setting,) = evaluate(model, str(folder), languages=["en"]).result.settings
    for ours, theirs in (("nDCG@10", "ndcg_cut_10"), ("AP", "map"), ("R@10", "recall_10")):
        expected = np.mean([row[theirs] for row in found.values()])
        assert setting.measures[ours] == pytest.approx(expected, abs=1e-6), ours


def test_a_folder_gives_the_numbers_of_the_same_data_in_the_own_format(tmp_path: Path) -> None:
    """The one is read as a stream, the other into memory."""
    write(tmp_path / "beir" / "set", "de", seed=1)
    write(tmp_path / "beir" / "set", "en", seed=2)
    (tmp_path / "beir" / "set" / "task.toml").write_text("parallel = true", "utf-8")
    own = tmp_path / "own" / "set"
    own.mkdir(parents=True)
    for tag in ("de", "en"):
        for name, kind in (("corpus", "documents"), ("queries", "queries")):
            content = (tmp_path / "beir" / "set" / tag / f"{name}.jsonl").read_text()
            content = content.replace('"_id"', '"id"').replace('"title": "", ', "")
            (own / f"{kind}.{tag}.jsonl").write_text(content, "utf-8")
    judged = [
        f"{topic} 0 {tag}:{document} {grade}"
        for tag in ("de", "en")
        for line in (tmp_path / "beir" / "set" / tag / "qrels" / "test.tsv").read_text().splitlines()[1:]
        for topic, document, grade in [line.split("\t")]
    ]
    (own / "qrels.tsv").write_text("\n".join(judged), "utf-8")
    (own / "task.toml").write_text(
        'primary_measure = "nDCG@10"\nmeasures = ["nDCG@10", "AP", "RR", "RR@10", "R@1", "R@10", "R@100", "Success@10"]'
    )
    streamed, held = (evaluate("hashing", str(tmp_path / name / "set")).result for name in ("beir", "own"))
    assert streamed.task.fingerprint == held.task.fingerprint
    assert streamed.settings == held.settings


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("qrels/test.tsv", 'q0\t"d0"\t1\n', "none of the 1 relevant documents is in a corpus"),
        ("qrels/test.tsv", "q0\td99\t1\nq1\td98\t1\n", "none of the 2 relevant documents is in a corpus"),
        ("corpus.jsonl", '{"_id": "d0", "title": "", "text": " "}\n', "no document has a text: check its corpora"),
        ("queries.jsonl", "", "no query has both a text and judgments: check its queries and their ids"),
    ],
)
def test_what_can_only_give_zeros_is_told(tmp_path: Path, name: str, content: str, told: str) -> None:
    write(tmp_path, "en")
    if name == "qrels/test.tsv":
        rows = [{"_id": f"D{number}", "text": "river"} for number in range(3)]
        (tmp_path / "en" / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "en" / name).write_text(content, "utf-8")
    with pytest.raises(UserError, match=told):
        evaluate("hashing", str(tmp_path / "en"), languages=["en"])
