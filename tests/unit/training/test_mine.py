"""Hard negatives, against a search of every pair by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from encoders import read_data, recipe_of, write_rows

from mlbench.open_model import open_retriever
from mlbench.protocols import Encoder, Runtime
from mlbench.training.mine import Mining, find_negatives, mine

pytest.importorskip("datasets")


@pytest.mark.parametrize(
    ("scores", "own", "related", "mining", "expected"),
    [
        ([[0.9, 0.5, 0.7, 0.6]], 0, [0], Mining(2, 1.0), [2, 3]),
        ([[0.9, 0.5, 0.7, 0.6]], 0, [0, 2], Mining(2, 1.0), [3, 1]),
        # .88 is more than .95 of .9: it may be an answer.
        ([[0.9, 0.88, 0.7, 0.6]], 0, [0], Mining(2, 0.95), [2, 3]),
        ([[0.9, 0.88, 0.7, 0.6]], 0, [0], Mining(9, 1.0), [1, 2, 3]),
        # Of equal ones the first.
        ([[0.5, 0.5, 0.5, 0.9]], 3, [3], Mining(2, 1.0), [0, 1]),
        ([[0.9, 0.5, 0.7, 0.6]], 0, [0, 1, 2, 3], Mining(2, 1.0), []),
    ],
)
def test_negatives_are_the_most_similar_that_are_no_answers(
    scores: list[list[float]], own: int, related: list[int], mining: Mining, expected: list[int]
) -> None:
    excluded = np.zeros((1, 4), bool)
    excluded[0, related] = True
    (found,) = find_negatives(np.array(scores, np.float32), np.array([own]), excluded, mining)
    assert found.tolist() == expected


def rows_of(folder: Path, kind: str) -> Path:
    path = folder / "rows.jsonl"
    write_rows(path, 60, negatives=kind == "questions", seed=4)
    if kind == "shared":
        # Two rows of one topic, and two with one document: neither is a negative of the other.
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[1]["id"] = lines[0]["id"]
        lines[3]["texts"]["de"] = lines[2]["texts"]["de"]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("kind", ["texts", "questions", "shared"])
def test_mined_rows_equal_a_search_by_hand(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    recipe = recipe_of(tmp_path, rows_of(tmp_path, kind))
    data = read_data(recipe)
    (rows,), (index,) = data.training.rows, data.training.indexes
    encoder = open_retriever("hashing:", {}, Runtime())
    assert isinstance(encoder, Encoder)
    mined = list(mine(rows, index, encoder, Mining(3, 0.9)))
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(mined) == len(lines)
    for tag in recipe.languages:
        sides = [[(line.get("texts") or line[side])[tag] for line in lines] for side in ("queries", "passages")]
        queries, documents = (
            each / np.linalg.norm(each, axis=1, keepdims=True)
            for each in (encoder.encode(texts, role) for texts, role in zip(sides, ("query", "document"), strict=True))  # type: ignore[arg-type]
        )
        for row, line in enumerate(lines):
            own = float(queries[row] @ documents[row])
            ranked = sorted(
                (-float(queries[row] @ documents[other]), other)
                for other in range(len(lines))
                if sides[1].index(sides[1][other]) == other
                and lines[other]["id"] != line["id"]
                and not (
                    {str(value) for value in (lines[other].get("texts") or lines[other]["passages"]).values()}
                    & {str(value) for value in (line.get("texts") or line["passages"]).values()}
                )
                and float(queries[row] @ documents[other]) <= 0.9 * own + 1e-7
            )
            expected = [sides[1][other] for _, other in ranked[:3]]
            found = mined[row].get("negatives", {}).get(tag, [])  # type: ignore[attr-defined]
            assert len(found) == len(expected)
            # Scores that are equal but for rounding may change places.
            similar = [float(queries[row] @ documents[sides[1].index(text)]) for text in found]
            np.testing.assert_allclose(similar, [-score for score, _ in ranked[:3]], atol=1e-6)


def test_what_is_mined_can_be_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLBENCH_CACHE", str(tmp_path / "cache"))
    recipe = recipe_of(tmp_path, rows_of(tmp_path, "texts"))
    data = read_data(recipe)
    (rows,), (index,) = data.training.rows, data.training.indexes
    encoder = open_retriever("hashing:", {}, Runtime())
    assert isinstance(encoder, Encoder)
    mined = tmp_path / "mined.jsonl"
    mined.write_text("".join(json.dumps(row) + "\n" for row in mine(rows, index, encoder, Mining(2))))
    again = recipe_of(tmp_path, mined)
    examples = read_data(again).examples(again)
    assert examples.has_negatives
    assert all(example.negative for example in examples.batch(0))
