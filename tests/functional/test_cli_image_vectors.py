"""Precomputed vectors of captions and images are measured as a model is, and its lists give the result again."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench import load_task
from mlbench.cli import call
from mlbench.collection.languages import IMAGE
from mlbench.collection.records import Collection
from mlbench.tasks.load import load_collection

pytest.importorskip("PIL")

Captured = pytest.CaptureFixture[str]
LANGUAGES = ("de", "en")


def measured(capsys: Captured, model: str, *arguments: str) -> dict[str, Any]:
    languages = ",".join(LANGUAGES)
    command = ["run", "-q", "--json", "--task", "mini-images", "--model", model, "--languages", languages]
    assert call([*command, "--resamples", "2", *arguments]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


@pytest.fixture(scope="module")
def collection() -> Collection:
    return load_collection(load_task("mini-images"), languages=LANGUAGES)


@pytest.fixture
def folder(tmp_path: Path, collection: Collection) -> Path:
    """Write vectors that know half of what an image shows."""
    rng, place = np.random.default_rng(0), tmp_path / "vectors"
    place.mkdir()
    shown = {query.topic_id: rng.normal(size=8) for query in collection.queries[IMAGE]}
    captions = {query.text: query for language in LANGUAGES for query in collection.queries[language]}
    drawn = {text: shown[query.topic_id.rpartition("#")[0]] + rng.normal(size=8) for text, query in captions.items()}
    for stem in ("queries", "documents"):
        write(place / stem, [{"text": text} for text in drawn], list(drawn.values()))
    names = [{"image": query.text.path.name} for query in collection.queries[IMAGE]]  # type: ignore[attr-defined]
    write(place / "images", names, list(shown.values()))
    return place


def write(path: Path, lines: Sequence[dict[str, str]], vectors: Sequence[np.ndarray]) -> None:
    path.with_suffix(".jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    np.save(path.with_suffix(".npy"), np.stack(vectors))


def test_vectors_of_captions_and_images(capsys: Captured, tmp_path: Path, folder: Path, collection: Collection) -> None:
    runs, out = tmp_path / "runs", ("--out", str(tmp_path))
    first = measured(capsys, f"vectors:{folder}", *out, "--save-run", str(runs), "--depth", "200")
    captions = np.load(folder / "queries.npy").reshape(len(LANGUAGES), -1, 8)
    images = np.load(folder / "images.npy")
    captions /= np.linalg.norm(captions, axis=2, keepdims=True)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    for number, language in enumerate(LANGUAGES):
        cosines = captions[number] @ images.T
        for kind, rows in (("text_to_image", cosines), ("image_to_text", cosines.T)):
            best = (rows > np.diag(rows)[:, None]).sum(axis=1)
            [found] = [
                row
                for row in first["settings"]
                if row["kind"] == kind and language in (row["query_language"], *row["document_languages"])
            ]
            for k in (1, 5, 10):
                assert found["measures"][f"Success@{k}"] == pytest.approx((best < k).mean())
    again = measured(capsys, f"run:{runs}", *out)
    assert [row["measures"] for row in again["settings"]] == [row["measures"] for row in first["settings"]]


def test_vectors_of_texts_alone_are_refused(capsys: Captured, tmp_path: Path, folder: Path) -> None:
    for name in ("images.jsonl", "images.npy"):
        (folder / name).unlink()
    command = ["run", "--task", "mini-images", "--model", f"vectors:{folder}", "--out", str(tmp_path)]
    assert call(command) == 2
    assert "reads no images" in capsys.readouterr().err
