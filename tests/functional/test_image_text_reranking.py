"""Captions and images re-ranked from end to end, against transformers' own scores of single pairs."""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from functional.command_line import CommandLine
from unit.retrievers.image_text_checkpoints import save_blip
from unit.retrievers.test_blip import Library

pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

N = 6
LANGUAGES = ("de", "en")
SYSTEM = f"""kind = "rerank"
first = "image_text:blip"
reranker = "image_text:blip"
n = {N}
"""
Scores = np.ndarray


def mini_images() -> tuple[list[Path], dict[str, list[str]]]:
    folder = Path(str(files("mlbench.task_files"))) / "mini-images"
    captions = {}
    for language in LANGUAGES:
        lines = (folder / f"captions.{language}.jsonl").read_text(encoding="utf-8").splitlines()
        captions[language] = {row["image"]: row["caption"] for row in map(json.loads, lines)}
    names = sorted(captions["en"])
    return [folder / "images" / name for name in names], {
        language: [own[name] for name in names] for language, own in captions.items()
    }


def hit_rates(cosines: Scores, scores: Scores, relevant: Scores) -> dict[int, tuple[float, float]]:
    """Return the least and the most that each hit rate can be; all are (queries, documents).

    A list whose order may hang on rounding counts as a miss for the least and as a hit for the most.
    """
    found: dict[int, list[tuple[bool, bool]]] = {1: [], 5: [], 10: []}
    for cosine, score, right in zip(cosines, scores, relevant, strict=True):
        order = np.argsort(-cosine)
        head = order[:N][np.argsort(-score[order[:N]])]
        close = np.diff(-cosine[order[: 10 + 1]]).min() < 3e-6 or np.diff(-score[head]).min() < 3e-6
        for k, hits in found.items():
            hit = bool(right[[*head, *order[N:]][:k]].any())
            hits.append((hit and not close, hit or bool(close)))
    return {k: (float(low), float(high)) for k, hits in found.items() for low, high in [np.mean(hits, axis=0)]}


def test_hit_rates_equal_those_of_a_loop_over_pairs(mlbench: CommandLine) -> None:
    paths, captions = mini_images()
    library = Library(save_blip(mlbench.folder / "blip", captions=[text for own in captions.values() for text in own]))
    (mlbench.folder / "system.toml").write_text(SYSTEM, encoding="utf-8")
    document = mlbench.result(
        "--model", "system.toml", "--task", "mini-images", "--languages", ",".join(LANGUAGES), "--resamples", "100"
    )
    images = [Image.open(path).convert("RGB") for path in paths]
    cosines = {language: library.cosines(own, images) for language, own in captions.items()}
    both = {language: library.logits(own, images) + cosines[language] for language, own in captions.items()}
    moved, sure = 0, 0
    for setting in document["settings"]:
        asked = [name for name in (setting["query_language"], *setting["document_languages"]) if name in LANGUAGES]
        cosine, score = (np.concatenate([table[name] for name in asked]) for table in (cosines, both))
        relevant = np.concatenate([np.eye(len(images), dtype=bool)] * len(asked))
        if setting["kind"] != "text_to_image":
            cosine, score, relevant = cosine.T, score.T, relevant.T
        alone = hit_rates(cosine, cosine, relevant)
        for k, (low, high) in hit_rates(cosine, score, relevant).items():
            measured = setting["measures"][f"Success@{k}"]
            assert low - 1e-12 <= measured <= high + 1e-12, (setting, low, high)
            moved += not alone[k][0] - 1e-12 <= measured <= alone[k][1] + 1e-12
            sure += high - low < 0.1
    assert len(document["settings"]) == 5
    assert sure == 15
    assert moved
