"""Captioned images to train on: squares of a colour and a size, each combination drawn several times."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from mlbench.training.data import RowSelection, TrainingData, load_data
from mlbench.training.recipe import Recipe
from mlbench.training.recipe_tables import DataSet
from mlbench.training.rows import DatasetRows, prepare
from mlbench.training.sources import find_source

LANGUAGES = ("de", "en", "th")
COLOURS = {
    "de": ("rot", "blau", "grün", "grau"),
    "en": ("red", "blue", "green", "grey"),
    "th": ("แดง", "ฟ้า", "เขียว", "เทา"),
}
SIZES = {"de": ("klein", "mittel", "groß"), "en": ("small", "middle", "large"), "th": ("เล็ก", "กลาง", "ใหญ่")}
RGB = ((220, 20, 20), (20, 40, 220), (20, 180, 40), (120, 120, 120))
SIDE = 16


def write_images(folder: Path, *, drawings: int = 5, without: Mapping[str, int] | None = None) -> Path:
    """Write 12 combinations, each drawn `drawings` times; a language has no caption of the first `without` images."""
    (folder / "images").mkdir(parents=True)
    lines: dict[str, list[dict[str, str]]] = {language: [] for language in LANGUAGES}
    random, number = np.random.RandomState(0), 0
    for colour, rgb in enumerate(RGB):
        for size in range(len(SIZES["en"])):
            for drawing in range(drawings):
                pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
                side = 4 + 4 * size
                top, left = random.randint(0, SIDE - side, size=2)
                pixels[top : top + side, left : left + side] = rgb
                pixels[0, 0] = drawing, colour, size
                name = f"{COLOURS['en'][colour]}-{size}-{drawing}.png"
                Pillow.fromarray(pixels).save(folder / "images" / name)
                for language, rows in lines.items():
                    if number >= (without or {}).get(language, 0):
                        caption = f"{SIZES[language][size]} {COLOURS[language][colour]}"
                        rows.append({"image": name, "caption": caption})
                number += 1
    for language, rows in lines.items():
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        (folder / f"captions.{language}.jsonl").write_text(text, encoding="utf-8")
    return folder


def rows_of(folder: Path) -> DatasetRows:
    return prepare(find_source(DataSet(name="drawn", captions=folder.name), folder.parent, None))


def image_recipe(root: Path, **changes: Any) -> Recipe:
    """Return a recipe on the folder `drawn` in `root`; a table in `changes` is merged with its own."""
    table: dict[str, Any] = {
        "name": "toy",
        "steps": 8,
        "languages": list(LANGUAGES),
        "image_text": {
            "dim": 8,
            "image_size": SIDE,
            "patch": 8,
            "vision_layers": 1,
            "vision_width": 32,
            "text_layers": 1,
            "text_width": 32,
            "pieces": 64,
            "max_length": 16,
        },
        "batches": {"size": 6},
        "loss": {"symmetric": True, "learn_temperature": True},
        "optimizer": {"learning_rate": 0.01},
        "datasets": [{"name": "drawn", "captions": "drawn"}],
    }
    for key, value in changes.items():
        table[key] = table[key] | value if isinstance(table.get(key), dict) and isinstance(value, dict) else value
    recipe = Recipe.model_validate(table)
    recipe._root = root
    return recipe


def read_images(recipe: Recipe) -> TrainingData:
    data, faults = load_data(recipe)
    assert faults == []
    assert data is not None
    return data


def part_of(recipe: Recipe) -> RowSelection:
    return read_images(recipe).training
