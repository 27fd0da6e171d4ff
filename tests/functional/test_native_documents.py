"""Tasks whose relevant documents are not translations of each other: what a run says of bias, and that it is chance."""

import json
from random import Random
from typing import Any

import pytest
from command_line import CommandLine

RELEVANT = {"en": 5, "fa": 10, "ru": 1}


def write_task(mlbench: CommandLine, toml: str = "", *, shared: bool = True) -> None:
    """Write a task of random words with unequally many relevant documents: nobody prefers a language here."""
    folder, draw = mlbench.folder / "own", Random(7)
    folder.mkdir()

    def text() -> str:
        return " ".join("".join(draw.choice("abcdefghijklmnop") for _ in range(5)) for _ in range(9))

    judged = []
    for language, count in RELEVANT.items():
        queries, documents = [], []
        for topic in range(60):
            name = f"t{topic}" if shared else f"{language}{topic}"
            queries.append({"id": name, "text": text()})
            for number in range(count):
                documents.append({"id": f"{language}{topic}x{number}", "text": text()})
                judged.append(f"{name} 0 {language}{topic}x{number} 1")
        documents += [{"id": f"{language}none{number}", "text": text()} for number in range(600 - 60 * count)]
        for role, rows in (("queries", queries), ("documents", documents)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{role}.{language}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels.tsv").write_text("\n".join(judged) + "\n", encoding="utf-8")
    (folder / "task.toml").write_text(toml, encoding="utf-8")


def measure(mlbench: CommandLine) -> tuple[dict[str, Any], dict[str, dict[str, Any]], str]:
    """Return what was measured, the bias scores by name, and what the run said."""
    done = mlbench("run", "--model", "hashing", "--task", "own")
    assert done.code == 0, done.err
    [path] = (mlbench.folder / "results").glob("*.json")
    result = json.loads(path.read_bytes())
    assert mlbench("verify", str(path)).code == 0
    return result["task"], {each["name"]: each for each in result["bias"]["scores"]}, done.err


def assert_by_chance(score: dict[str, Any]) -> None:
    low, high = score["interval"]["low"], score["interval"]["high"]
    assert low <= score["references"]["chance"] <= high, score


def test_unequal_numbers_of_documents_are_no_bias(mlbench: CommandLine) -> None:
    write_task(mlbench)
    task, scores, said = measure(mlbench)
    assert task["documents"] == "native"
    assert "topic 't0' has 10 relevant documents in fa, 1 in ru: they are not taken for translations" in said
    assert not {"language_prior", "rank_distance", "same_language_first", "max_rank"} & set(scores)
    for name in ("own_language_preference", "PEER", "PEER@20", "own_language_exposure", "language_exposure"):
        assert_by_chance(scores[name])
    assert scores["language_share@20"]["value"] == pytest.approx(1, abs=0.2)
    assert scores["worst_language"]["value"] > 0


def test_one_of_several_documents_is_chosen_where_they_are_called_translations(mlbench: CommandLine) -> None:
    write_task(mlbench, 'documents = "translations"\n')
    task, scores, said = measure(mlbench)
    assert task["documents"] == "translations"
    assert "bias scores use one of them for each language, chosen by its id" in said
    assert "PEER" not in scores
    for name in ("own_language_preference", "same_language_first", "removal_gap", "language_prior"):
        assert_by_chance(scores[name])
    assert scores["language_prior"]["value"] < 0.15


def test_topics_that_are_not_shared_have_the_scores_that_need_no_translations(mlbench: CommandLine) -> None:
    write_task(mlbench, "parallel = false\n", shared=False)
    task, scores, _ = measure(mlbench)
    assert not task["parallel"]
    known = {name for name, score in scores.items() if score["value"] is not None}
    assert known == {"language_share@10", "language_share@20", "worst_language"}
    assert not {"own_language_preference", "rank_distance", "rank_spread", "list_agreement"} & set(scores)
