"""What is counted and told of the texts of a task before a retriever reads them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import mlbench
from mlbench.collection.records import Collection, Document, Image, Judgment, Query
from mlbench.evaluation.options import Options
from mlbench.evaluation.text_checks import count_truncated, tell_prompted_texts
from mlbench.open_model import LoadedModel
from mlbench.protocols import Parameter, Role, ScoredPairs, Silence, Vectors
from mlbench.results import TruncatedTexts


class Cutting:
    """An encoder that cuts texts off after ten letters, and counts what it encodes."""

    dim = 8
    similarity = "cosine"
    tokens = 0

    def __init__(self, **parameters: Parameter) -> None:
        self.parameters: dict[str, Parameter] = dict(parameters)
        self.asked: list[list[str]] = []

    def fingerprint(self, role: Role) -> str:
        return "cutting"

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        self.tokens += len(texts)
        return np.array([[1 + text.count(c) for c in "aeiourst"] for text in texts], np.float32).reshape(-1, 8)

    def longest_input(self, role: Role) -> int | None:
        return 10 if role == "query" else 20

    def is_truncated(self, texts: Sequence[str], role: Role) -> NDArray[np.bool_] | None:
        self.asked.append(list(texts))
        limit = self.longest_input(role) or 0
        return np.array([len(text) > limit for text in texts], dtype=np.bool_)


class Reranking:
    """A ranker that knows of pairs alone."""

    def scored_pairs(self) -> ScoredPairs | None:
        return ScoredPairs(64, {"a": 3, "b": 2, "c": 9}, {"b": 1, "c": 4})


class Notes(Silence):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


def row(role: str, language: str, n_texts: int, n_truncated: int, max_length: int | None) -> TruncatedTexts:
    return TruncatedTexts.model_validate(
        {"role": role, "language": language, "n_texts": n_texts, "n_truncated": n_truncated, "max_length": max_length}
    )


class TestCount:
    def test_a_text_counts_as_often_as_it_is_there_and_is_asked_of_once(self) -> None:
        encoder = Cutting()
        texts = {
            ("document", "de"): ["x" * 21, "x" * 20, "x" * 21],
            ("query", "de"): ["x" * 11, "x" * 10],
            ("document", "en"): ["x" * 21],
            ("query", "en"): [],
        }
        assert count_truncated(encoder, texts) == (
            row("query", "de", 2, 1, 10),
            row("query", "en", 0, 0, 10),
            row("document", "de", 3, 2, 20),
            row("document", "en", 1, 1, 20),
        )
        assert encoder.asked == [["x" * 11, "x" * 10], ["x" * 21, "x" * 20]]

    def test_images_are_no_texts(self) -> None:
        picture = Image("0" * 64, Path("a.png"))
        texts = {("document", "image"): [picture], ("query", "en"): ["x" * 30]}
        assert count_truncated(Cutting(), texts) == (row("query", "en", 1, 1, 10),)

    def test_pairs_are_counted_by_the_language_of_the_document(self) -> None:
        texts = {("document", "de"): ["a", "b", "b"], ("document", "en"): ["c", "d"], ("query", "de"): ["a"]}
        assert count_truncated(Reranking(), texts) == (row("pair", "de", 5, 1, 64), row("pair", "en", 9, 4, 64))

    def test_nothing_is_said_where_nothing_is_known(self) -> None:
        assert count_truncated(object(), {("query", "en"): ["a"]}) is None


@pytest.mark.parametrize("prompt", ["query: ", ""])
@pytest.mark.parametrize("key", ["query_prompt", "systems[0].query_prompt", "text_prefix"])
def test_texts_that_begin_with_their_prompt_are_told_once(prompt: str, key: str) -> None:
    collection = Collection(
        ("de", "en"),
        queries={"de": (Query("1", "query: wer?"), Query("2", "wo?")), "en": (Query("1", "query: who?"),)},
        documents={"de": (Document("a", "passage: er"),), "en": (Document("b", "query: she"),)},
        judgments={"1": (Judgment("a", "de", 1),)},
        clusters={"1": "1", "2": "2"},
    )
    notes = Notes()
    model = LoadedModel(Cutting(**{key: prompt, "document_prompt": "other: "}), "mine")
    tell_prompted_texts(model, collection, notes)
    expected = ["warning: mine: 2 of 3 queries already begin with 'query: ', which is put before each of them again: "]
    expected += ["warning: mine: 1 of 2 documents already begin with"] if key == "text_prefix" else []
    assert len(notes.lines) == (len(expected) if prompt else 0)
    for line, start in zip(notes.lines, expected, strict=False):
        assert line.startswith(start)
        assert line.endswith(f"an empty {key} leaves it out")


def test_a_result_says_the_same_where_vectors_were_kept(tmp_path: Path) -> None:
    options = Options(cache=tmp_path, resamples=10)
    first, again = Cutting(), Cutting()
    languages = ["de", "en"]
    results = [mlbench.evaluate(each, "mini", languages=languages, options=options).result for each in (first, again)]
    assert (first.tokens > 0, again.tokens) == (True, 0)
    assert results[0].truncated == results[1].truncated
    assert results[0].truncated is not None
    places = [(each.role, each.language) for each in results[0].truncated]
    assert places == [(role, language) for role in ("query", "document") for language in languages]
    assert all(0 < each.n_truncated <= each.n_texts for each in results[0].truncated)
    assert mlbench.evaluate("hashing", "mini", languages=languages, options=options).result.truncated is None
