"""The measures of MIEB on captioned images, against pytrec_eval on the scores of all pairs."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np
import pytest
import pytrec_eval
from numpy.typing import NDArray
from pictures import save

import mlbench
from mlbench.collection.records import Image
from mlbench.protocols import Parameter, Role

MEASURES = {
    "nDCG@10": "ndcg_cut_10",
    "AP@1000": "map_cut_1000",
    "R@5": "recall_5",
    "P@5": "P_5",
    "Success@5": "success_5",
    "RR": "recip_rank",
}
N = 40
CAPTIONS = {"en": [1 + number % 3 for number in range(N)], "th": [1] * N}
"""By language how many captions each image has."""


class Drawn:
    """An encoder whose vectors are drawn at random, one for each text and each file of an image."""

    dim = 12
    similarity: Literal["cosine"] = "cosine"
    parameters: Mapping[str, Parameter] = {}
    reads_images = True

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def fingerprint(self, _role: Role) -> str:
        return "drawn"

    def encode(self, texts: Sequence[str], _role: Role) -> NDArray[np.float32]:
        self.encoded += texts
        seeds = [int.from_bytes(sha256(text.encode()).digest()[:4], "big") for text in texts]
        return np.stack([np.random.RandomState(seed).standard_normal(self.dim) for seed in seeds]).astype(np.float32)


def write(folder: Path, toml: str) -> dict[str, list[tuple[int, str]]]:
    """Write a task, and return the captions of each language with the number of their image."""
    captions = {
        tag: [(number, f"{tag} {number} {k}") for number, count in enumerate(counts) for k in range(count)]
        for tag, counts in CAPTIONS.items()
    }
    for tag, rows in captions.items():
        lines = [json.dumps({"image": f"{number:02}.png", "caption": text}) for number, text in rows]
        (folder / f"captions.{tag}.jsonl").write_text("\n".join(lines), "utf-8")
    for number in range(N):
        save(folder / "images" / f"{number:02}.png", number)
    names = ", ".join(f'"{name}"' for name in MEASURES)
    (folder / "task.toml").write_text(f'name = "own"\nmeasures = [{names}]\n{toml}')
    return captions


@pytest.mark.parametrize("first", [False, True])
def test_measures_of_both_directions_equal_pytrec_eval(tmp_path: Path, first: bool) -> None:
    captions = write(tmp_path, "[options]\ncaptions_per_image = 1\n" if first else "")
    model, options = Drawn(), mlbench.Options(cache=tmp_path / "cache", resamples=0)
    rows = mlbench.evaluate(model, str(tmp_path), options=options).result.settings
    images = [Image(sha256(path.read_bytes()).hexdigest(), path) for path in sorted((tmp_path / "images").iterdir())]
    # Each image once, whatever the number of languages and captions.
    assert sorted(text for text in model.encoded if isinstance(text, Image)) == sorted(images)
    of_images = Drawn().encode(images, "image").astype(np.float64)
    of_images /= np.linalg.norm(of_images, axis=1, keepdims=True)
    for tag, own in captions.items():
        kept = dict(reversed(own)).items() if first else own
        numbers = [number for number, _ in kept]
        of_texts = Drawn().encode([text for _, text in kept], "query").astype(np.float64)
        of_texts /= np.linalg.norm(of_texts, axis=1, keepdims=True)
        scores = of_texts @ of_images.T
        relevant = np.array(numbers)[:, None] == np.arange(N)
        for kind, ranked, judged in (("text_to_image", scores, relevant), ("image_to_text", scores.T, relevant.T)):
            (row,) = [row for row in rows if row.kind == kind and tag in (row.query_language, *row.document_languages)]
            expected = by_trec_eval(ranked, judged)
            assert {name: row.measures[name] for name in MEASURES} == pytest.approx(expected, abs=1e-9), (kind, tag)


def by_trec_eval(scores: NDArray[np.float64], relevant: NDArray[np.bool_]) -> dict[str, float]:
    """Return the mean of each measure; both arrays are (queries, documents)."""
    # Dense ranks, as trec_eval keeps scores in float32.
    dense = [np.unique(row, return_inverse=True)[1] for row in scores]
    run = {str(q): {str(d): float(score) for d, score in enumerate(row)} for q, row in enumerate(dense)}
    qrels = {str(q): {str(d): 1 for d in np.flatnonzero(row)} for q, row in enumerate(relevant)}
    found = pytrec_eval.RelevanceEvaluator(qrels, set(MEASURES.values())).evaluate(run)
    return {name: fmean(row[theirs] for row in found.values()) for name, theirs in MEASURES.items()}
