"""`mlbench run --limit`: a quick look that nobody can take for more."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.cli import call
from mlbench.collection.records import Collection
from mlbench.errors import UserError
from mlbench.evaluation.options import Options
from mlbench.reports.provenance import command
from mlbench.results import Result
from mlbench.tasks.load import load_collection
from mlbench.tasks.task import load_task

Captured = pytest.CaptureFixture[str]
RUN = ("run", "-q", "--model", "hashing", "--resamples", "2", "--json")


@pytest.fixture(scope="module")
def mini() -> Collection:
    return load_collection(load_task("mini"))


def looked(capsys: Captured, out: Path, *arguments: str) -> dict[str, Any]:
    assert call([*RUN, "--out", str(out), *arguments]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_says_what_it_is_wherever_it_is_seen(capsys: Captured, tmp_path: Path) -> None:
    result = looked(capsys, tmp_path, "--limit", "3")
    assert result["task"]["limit"] == 3
    assert result["task"]["partial"] is False
    assert {setting["n_queries"] for setting in result["settings"]} == {3}
    (path,) = tmp_path.glob("*.json")
    assert path.name == "mini.limit-3.hashing-98f613dd.json"
    assert call(["report", str(path)]) == 0
    assert "quick look: 3 topics, not comparable" in capsys.readouterr().out.splitlines()[:3]
    assert call(["verify", str(path)]) == 0


def test_other_data_have_another_fingerprint(capsys: Captured, tmp_path: Path) -> None:
    whole, few, fewer = (looked(capsys, tmp_path, *options) for options in ([], ["--limit", "3"], ["--limit", "2"]))
    assert len({result["task"]["fingerprint"] for result in (whole, few, fewer)}) == 3
    assert whole["task"]["limit"] is None
    assert len(list(tmp_path.glob("*.json"))) == 3


def test_fewer_texts_are_encoded(capsys: Captured, tmp_path: Path) -> None:
    result = looked(capsys, tmp_path, "--limit", "1", "--languages", "de,th")
    assert result["task"]["languages"] == ["de", "th"]
    assert result["cost"]["texts"] == 2 * (1 + 1 + 10)
    assert (tmp_path / "mini.limit-1.de.th.hashing-98f613dd.json").exists()


@pytest.mark.parametrize("limit", ["0", "-1", "some"])
def test_what_is_no_number_of_topics_is_one_line(capsys: Captured, limit: str) -> None:
    assert call(["run", "--limit", limit]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--limit" in line
    with pytest.raises(UserError, match="at least one topic"):
        Options(limit=0)


@given(n=st.integers(1, 30))
def test_a_sample_holds_what_its_topics_need(mini: Collection, n: int) -> None:
    sample, wanted = mini.sample(n), min(n, 24)
    topics = {query.topic_id for query in sample.queries["en"]}
    assert len(topics) == wanted
    assert set(sample.judgments) == set(sample.clusters) == topics
    for language in mini.languages:
        assert {query.topic_id for query in sample.queries[language]} == topics
        ids = [document.doc_id for document in sample.documents[language]]
        relevant = {j.doc_id for topic in topics for j in mini.judgments[topic] if j.language == language}
        assert relevant <= set(ids)
        assert len(ids) == min(48, wanted + 10 * n)
        everything = [document.doc_id for document in mini.documents[language]]
        assert ids == [doc_id for doc_id in everything if doc_id in ids]


def test_a_larger_sample_holds_the_smaller_one(mini: Collection) -> None:
    for smaller, larger in ((1, 2), (2, 3), (3, 10)):
        few, more = mini.sample(smaller), mini.sample(larger)
        for language in mini.languages:
            assert set(few.queries[language]) <= set(more.queries[language])
            assert set(few.documents[language]) <= set(more.documents[language])


def test_the_order_of_rows_does_not_matter(mini: Collection) -> None:
    turned = replace(
        mini,
        queries={a: rows[::-1] for a, rows in mini.queries.items()},
        documents={a: rows[::-1] for a, rows in mini.documents.items()},
        judgments=dict(reversed(mini.judgments.items())),
        clusters=dict(reversed(mini.clusters.items())),
    )
    assert turned.sample(2).fingerprint() == mini.sample(2).fingerprint()


def test_no_cluster_comes_twice_before_each_came_once(mini: Collection) -> None:
    clusters = {topic: f"c{min(i, 5)}" for i, topic in enumerate(sorted(mini.clusters))}
    for n, most in ((6, 1), (7, 2), (8, 3)):
        sample = replace(mini, clusters=clusters).sample(n)
        assert len(set(sample.clusters.values())) == 6
        assert max(Counter(sample.clusters.values()).values()) == most


def test_topics_of_one_language_each_fill_every_language(mini: Collection) -> None:
    """Where topics are not parallel, each language has its own."""
    queries = {a: tuple(q._replace(topic_id=f"{a}-{q.topic_id}") for q in mini.queries[a]) for a in mini.languages}
    judgments = {
        f"{a}-{topic}": tuple(j for j in rows if j.language == a)
        for topic, rows in mini.judgments.items()
        for a in mini.languages
    }
    apart = replace(
        mini, queries=queries, judgments=judgments, clusters={name: name for name in judgments}, parallel=False
    )
    sample = apart.sample(5)
    assert {len(rows) for rows in sample.queries.values()} == {5}
    assert len(sample.judgments) == 55


@pytest.mark.parametrize("name", ["console", "markdown", "html", "csv", "latex", "model-card"])
def test_every_report_says_that_it_is_a_quick_look(capsys: Captured, tmp_path: Path, name: str) -> None:
    looked(capsys, tmp_path, "--limit", "3", "--languages", "de,th")
    (path,) = tmp_path.glob("*.json")
    assert call(["report", str(path), "--format", name, "--output", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report").read_text(encoding="utf-8")
    assert "uick look: 3 topics, not comparable" in text


def test_the_command_of_a_quick_look_makes_it_again(capsys: Captured, tmp_path: Path) -> None:
    result = Result.model_validate(looked(capsys, tmp_path, "--limit", "3"))
    unrecorded = result.environment.model_copy(update={"command": None})
    assert "--limit 3" in command(result.model_copy(update={"environment": unrecorded}))
