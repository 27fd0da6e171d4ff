"""Captioned images from end to end: hit rates against transformers and whole lists, each image encoded once."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from functional.command_line import CommandLine
from PIL import Image
from unit.retrievers.image_text_checkpoints import save_clip

XTD10 = {
    **{tag: f"XTD10/test_1kcaptions_{tag}.txt" for tag in ("en", "es", "it", "ko", "pl", "ru", "tr", "zh")},
    **{tag: f"MIC/test_1kcaptions_{tag}.txt" for tag in ("de", "fr")},
    "ja": "STAIR/test_1kcaptions_jp.txt",
}
Vectors = np.ndarray


def mini_images() -> tuple[list[Path], dict[str, list[str]]]:
    folder = Path(str(files("mlbench.task_files"))) / "mini-images"
    captions: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("captions.*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        captions[path.name.split(".")[1]] = {row["image"]: row["caption"] for row in rows}
    names = sorted(captions["en"])
    return [folder / "images" / name for name in names], {
        language: [own[name] for name in names] for language, own in captions.items()
    }


def xtd10(folder: Path, data_dir: Path) -> tuple[list[Path], dict[str, list[str]]]:
    """Draw a stand-in for each of the images, which cannot be handed on, under its own name."""
    names = (data_dir / "xtd10/XTD10/test_image_names.txt").read_text(encoding="utf-8").split()
    images = folder / "xtd10" / "images"
    images.mkdir(parents=True)
    draw = np.random.RandomState(0)
    for name in names:
        Image.fromarray(draw.randint(0, 256, (6, 8, 3)).astype(np.uint8)).resize((40, 30)).save(images / name)
    return [images / name for name in names], {
        language: (data_dir / "xtd10" / path).read_text(encoding="utf-8").splitlines()
        for language, path in XTD10.items()
    }


def by_library(checkpoint: Path, images: Sequence[Path], captions: Sequence[str]) -> tuple[Vectors, Vectors]:
    """Return what transformers gives for images and captions, one by one of the former; unit length in float64."""
    import torch
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    model = CLIPModel.from_pretrained(checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    processor = CLIPImageProcessorPil.from_pretrained(checkpoint)
    found: tuple[list[Vectors], list[Vectors]] = ([], [])
    with torch.no_grad():
        for path in images:
            pixels = processor(Image.open(path).convert("RGB"), return_tensors="pt")
            found[0].append(model.get_image_features(**pixels).pooler_output.double().numpy())
        for start in range(0, len(captions), 256):
            batch = list(captions[start : start + 256])
            tokens = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
            found[1].append(model.get_text_features(**tokens).pooler_output.double().numpy())
    one, two = np.concatenate(found[0]), np.concatenate(found[1])
    return one / np.linalg.norm(one, axis=1, keepdims=True), two / np.linalg.norm(two, axis=1, keepdims=True)


def hit_rate(scores: Vectors, relevant: Vectors, k: int) -> tuple[float, float]:
    """Return the least and the most that the hit rate can be, however close scores are ordered.

    `scores` and `relevant` (which documents are) are (queries, documents).
    """
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    surely_ahead = ((scores > best + 1e-5) & ~relevant).sum(axis=1)
    maybe_ahead = ((scores > best - 1e-5) & ~relevant).sum(axis=1)
    return float((maybe_ahead < k).mean()), float((surely_ahead < k).mean())


def check(document: Mapping[str, object], checkpoint: Path, images: list[Path], captions: dict[str, list[str]]) -> int:
    """Compare the hit rates of every setting; returns how many of them could only be one number."""
    every = [(language, place, text) for language, own in captions.items() for place, text in enumerate(own)]
    of_images, of_captions = by_library(checkpoint, images, [text for *_, text in every])
    places = np.array([place for _, place, _ in every])
    home = np.array([language for language, *_ in every])
    sure = 0
    settings = document["settings"]
    assert isinstance(settings, list)
    assert len(settings) == 2 * len(captions) + 1
    for setting in settings:
        own = np.isin(home, [setting["query_language"], *setting["document_languages"]])
        scores = of_images @ of_captions[own].T
        relevant = np.arange(len(images))[:, None] == places[own]
        if setting["kind"] == "text_to_image":
            scores, relevant = scores.T, relevant.T
        for k in (1, 5, 10):
            low, high = hit_rate(scores, relevant, k)
            assert low - 1e-12 <= setting["measures"][f"Success@{k}"] <= high + 1e-12, (setting, low, high)
            sure += low == high
    return sure


def check_cost(document: Mapping[str, dict[str, int]], images: list[Path], captions: dict[str, list[str]]) -> None:
    cost = document["cost"]
    assert cost["images"] == cost["encoded_images"] == len({path.read_bytes() for path in images})
    distinct = {text.strip() for own in captions.values() for text in own}
    assert cost["texts"] == cost["encoded_texts"] == len(distinct)


def test_hit_rates_of_mini_images_equal_those_of_transformers(mlbench: CommandLine, tmp_path: Path) -> None:
    images, captions = mini_images()
    checkpoint = save_clip(tmp_path / "clip", captions=[text for own in captions.values() for text in own])
    document = mlbench.result("--model", str(checkpoint), "--task", "mini-images", "--resamples", "100")
    check_cost(document, images, captions)
    assert check(document, checkpoint, images, captions) >= 60
    again = mlbench.result("--model", str(checkpoint), "--task", "mini-images", "--resamples", "100")
    assert again["cost"]["encoded_images"] == again["cost"]["encoded_texts"] == 0
    assert again["settings"] == document["settings"]


@pytest.mark.data
def test_xtd10_runs_with_stand_ins_for_its_images(mlbench: CommandLine, tmp_path: Path, data_dir: Path) -> None:
    images, captions = xtd10(tmp_path / "data", data_dir)
    checkpoint = save_clip(tmp_path / "clip", captions=[text for own in captions.values() for text in own])
    chosen = ("--model", str(checkpoint), "--task", "xtd10", "--data-dir", str(tmp_path / "data"))
    document = mlbench.result(*chosen, "--resamples", "100", "--out", "out")
    check_cost(document, images, captions)
    assert check(document, checkpoint, images, captions) >= 40
    assert {each["n_captions"] for each in document["image_text"]["languages"]} == {1000}
    verified = mlbench("verify", *map(str, (tmp_path / "out").glob("*.json")))
    assert verified.code == 0, verified.err
