"""Queries that are documents: the pool without the query itself, by brute force, for vectors, lists and run files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.collection.languages import Setting
from mlbench.collection.records import Collection, Document, Query
from mlbench.evaluation.evaluate import evaluate
from mlbench.evaluation.options import Options
from mlbench.evaluation.verify import verify
from mlbench.protocols import Parameter, Role, Similarity, Vectors
from mlbench.ranking.ranks import is_left_out
from mlbench.ranking.ranks_file import read_ranks
from mlbench.ranking.run_files import SaveRun
from mlbench.results import Result
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

LANGUAGES = ("de", "en", "th")
TOML = """
name = "sentences"
reader = "parallel_texts"
languages = ["de", "en", "th"]
settings = ["cross_lingual", "multilingual"]
measures = ["AP", "R@1"]
bias_scores = ["rank_distance", "max_rank", "own_language_preference", "same_language_first"]
[[files]]
path = "lines.jsonl"
"""

Lines = list[dict[str, str]]
# A line may lack languages, and sentences are few, so that they are there again and tie.
LINES = st.lists(
    st.dictionaries(st.sampled_from(LANGUAGES), st.sampled_from("abcdefgh"), min_size=1), min_size=3, max_size=9
).filter(lambda lines: all(sum(a in line and b in line for line in lines) for a, b in (("de", "en"), ("en", "th"))))


def score(query: str, document: str) -> int:
    return int(vector(query, "query") @ vector(document, "document"))


def vector(text: str, role: Role) -> Vectors:
    """Return small whole numbers, so that products are exact and many tie."""
    drawn = sha256(f"{role} {text}".encode()).digest()
    return np.array([1, drawn[0] % 3, drawn[1] % 3], dtype=np.float32)


@dataclass
class Numbers:
    """An encoder."""

    dim: int = 3
    similarity: Similarity = "dot"
    parameters: dict[str, Parameter] = field(default_factory=dict)

    def fingerprint(self, role: Role) -> str:
        return role

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        return np.stack([vector(text, role) for text in texts])


@dataclass
class Letters(Numbers):
    """An encoder that gives each letter a direction of its own."""

    dim: int = 8

    def fingerprint(self, role: Role) -> str:
        return "letters"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        return np.eye(8, dtype=np.float32)[["abcdefgh".index(text) for text in texts]]


@dataclass
class Sorting:
    """A ranker that gives the same order, with the query itself among the documents."""

    parameters: dict[str, Parameter] = field(default_factory=dict)

    def fingerprint(self) -> str:
        return "sorting"

    def search(
        self, setting: Setting, queries: Sequence[Query], documents: Sequence[Document], depth: int
    ) -> list[list[str]]:
        return [ordered(query, documents)[:depth] for query in queries]


def ordered(query: Query, documents: Sequence[Document]) -> list[str]:
    best = sorted(documents, key=lambda row: (score(query.text, row.text), row.doc_id), reverse=True)
    return [row.doc_id for row in best]


def write(folder: Path, lines: Lines) -> Path:
    text = "".join(json.dumps({"id": f"t{number}", "texts": line}) + "\n" for number, line in enumerate(lines))
    (folder / "lines.jsonl").write_text(text, encoding="utf-8")
    (folder / "task.toml").write_text(TOML, encoding="utf-8")
    return folder / "task.toml"


def ranks_by_hand(collection: Collection, language: str, pool: Sequence[str]) -> dict[str, list[int]]:
    """Return for each topic the ranks of the query's translations among all documents but the query itself."""
    documents = [row for tag in pool for row in collection.documents[tag]]
    found = {}
    for query in collection.queries[language]:
        own = {row.doc_id for row in collection.judgments[query.topic_id] if row.language == language}
        wanted = {row.doc_id for row in collection.judgments[query.topic_id] if row.language in pool} - own
        order = [doc_id for doc_id in ordered(query, documents) if doc_id not in own]
        found[query.topic_id] = sorted(order.index(doc_id) + 1 for doc_id in wanted)
    return {topic: ranks for topic, ranks in found.items() if ranks}


def average_precision(ranks: list[int]) -> float:
    return sum(number / rank for number, rank in enumerate(ranks, 1)) / len(ranks)


def check(result: Result, collection: Collection) -> None:
    distances: dict[str, list[int]] = {language: [] for language in LANGUAGES}
    for setting in result.settings:
        pool = setting.document_languages
        ranks = ranks_by_hand(collection, setting.query_language, pool)
        assert setting.n_queries == len(ranks)
        n_documents = sum(len(collection.documents[tag]) for tag in pool)
        assert setting.n_documents == n_documents - (setting.query_language in pool)
        if ranks:
            expected = [average_precision(row) for row in ranks.values()]
            assert setting.measures["AP"] == pytest.approx(np.mean(expected), abs=1e-12)
        if setting.kind == "multilingual":
            distances[setting.query_language] = [row[-1] - row[0] for row in ranks.values() if len(row) > 1]
    assert result.bias is not None
    assert result.bias.n_documents == sum(map(len, collection.documents.values())) - 1
    scores = {row.name: row.value for row in result.bias.scores}
    means = [np.mean(rows) for rows in distances.values() if rows]
    assert scores["rank_distance"] == (pytest.approx(np.mean(means)) if means else None)
    assert scores["own_language_preference"] is None


@settings(max_examples=25)
@given(LINES)
def test_a_query_leaves_pool_and_judgments(tmp_path_factory: pytest.TempPathFactory, lines: Lines) -> None:
    folder = tmp_path_factory.mktemp("sentences")
    task = write(folder, lines)
    collection = load_collection(load_task(str(task)))
    options = Options(resamples=0, cache=folder / "cache")
    for model in (Numbers(), Sorting()):
        check(evaluate(model, task, options=options).result, collection)


@pytest.mark.parametrize(("languages", "tied"), [(("de", "en"), 0.0), (LANGUAGES, 1.0)])
def test_translations_tie_with_each_other_not_with_the_query_itself(
    tmp_path: Path, languages: tuple[str, ...], tied: float
) -> None:
    task = write(tmp_path, [dict.fromkeys(languages, letter) for letter in "abcdefgh"])
    options = Options(resamples=0, cache=tmp_path / "cache")
    result = evaluate(Letters(), task, languages=languages, options=options).result
    shares = {setting.tied_share for setting in result.settings if setting.kind == "multilingual"}
    assert shares == {tied}


def test_what_was_kept_says_the_same(tmp_path: Path) -> None:
    lines = [{tag: f"{tag} {number % 7}" for tag in LANGUAGES} for number in range(30)]
    task, runs = write(tmp_path, lines), tmp_path / "runs"
    result = evaluate(
        Numbers(), task, out=tmp_path, options=Options(resamples=50, save_run=SaveRun(runs, 12), cache=tmp_path)
    ).result
    (path,) = tmp_path.glob("sentences*.json")
    assert not verify(path).differences
    ranks = read_ranks(path.with_name(result.ranks.name))
    assert ranks.queries_are_documents
    collection = load_collection(load_task(str(task)))
    for query, top in enumerate(ranks.top):
        topic, language = ranks.topic_ids[ranks.query_topics[query]], LANGUAGES[ranks.query_languages[query]]
        (own,) = collection.itself(language, topic)
        documents = [row for tag in LANGUAGES for row in collection.documents[tag]]
        text = next(row for row in collection.queries[language] if row.topic_id == topic)
        expected = [doc_id for doc_id in ordered(text, documents) if doc_id != own]
        assert [ranks.document_ids[place] for place in top] == expected[: len(top)]
        (judged,) = (runs / f"{language}-de+en+th.qrels",)
        assert f"{topic} 0 {own} " not in judged.read_text()
        listed = [line.split() for line in (runs / f"{language}-de+en+th.trec").read_text().splitlines()]
        assert [row[2] for row in listed if row[0] == topic] == expected[:12]


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        ([], False),
        ([(0, 0), (0, 1), (1, 0), (1, 1)], False),
        ([(0, 2), (1, 2)], False),
        ([(0, 1), (1, 0)], True),
        ([(0, 1), (0, 2), (1, 0), (1, 2)], True),
        ([(2, 1), (2, 2)], False),
    ],
    ids=["nothing", "questions", "documents in a third language", "sentences", "three languages", "one query"],
)
def test_rows_tell_whether_queries_are_documents(judged: list[tuple[int, int]], expected: bool) -> None:
    topics, languages = np.array([0, 0, 1], dtype=np.int32), np.array([0, 1, 0], dtype=np.int32)
    rows = np.array(judged, dtype=np.int32).reshape(-1, 2)
    assert is_left_out(topics, languages, rows[:, 0], rows[:, 1]) is expected
