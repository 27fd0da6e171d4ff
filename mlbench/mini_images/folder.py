"""Writes images and captions as a folder that is a task, or training data."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mlbench.atomic import replaced_folder
from mlbench.errors import MissingExtra, UserError
from mlbench.mini_images.combinations import combinations
from mlbench.mini_images.drawing import Pixels, draw
from mlbench.mini_images.grammars import captions
from mlbench.protocols import Progress, Silence
from mlbench.tasks import FOLDER_FILE

TEST_SEED = 0
"""The images for evaluation are always those of this seed; those for training never are."""

IMAGES = "images"

_TRAINING_TASK = """\
name = "mini-images-train"
title = "mini-images: drawings to train on"
licence = "CC0 1.0"
licence_url = "https://creativecommons.org/publicdomain/zero/1.0/legalcode"

[options]
cluster_unit = "combination"
"""

_LAST_SEED = 2**32 - 1
_SILENCE = Silence()


@dataclass(frozen=True, slots=True)
class _Captioned:
    """An image and its captions by language; those of the same `cluster` show as many of the same shape and colour."""

    name: str
    pixels: Pixels
    captions: dict[str, str]
    cluster: str | None


def make(folder: Path, *, seed: int = 1, drawings: int = 40, progress: Progress = _SILENCE) -> tuple[int, int]:
    """Write `folder`/test, always the same, and `folder`/train with `drawings` images of each combination for training.

    The two share no combination. Returns the numbers of images. Raises `UserError` where `folder` is there and is not
    empty, or for a seed outside 1 to 2^32 - 1, and `MissingExtra` without Pillow; after an error neither is there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already: name a folder that is empty or new")
    if not TEST_SEED < seed <= _LAST_SEED:
        raise UserError(f"the seed of the drawings is from 1 to {_LAST_SEED:,}, not {seed:,}")
    if find_spec("PIL") is None:
        raise MissingExtra("images", "images")
    test, train = (len(list(combinations(held_out=held_out))) for held_out in (True, False))
    progress.start("draw", test + train * drawings)
    # The folder itself is not replaced: it may be where the user stands, or a disk.
    with replaced_folder(folder / "train") as for_training, replaced_folder(folder / "test") as for_evaluation:
        _write(for_evaluation, _for_evaluation(), progress)
        _write(for_training, _for_training(seed, drawings), progress)
        (for_training / FOLDER_FILE).write_text(_TRAINING_TASK, encoding="utf-8", newline="\n")
    progress.finish()
    return test, train * drawings


def _for_evaluation() -> Iterator[_Captioned]:
    for combination in combinations(held_out=True):
        yield _Captioned(f"{combination.name}.png", draw(combination, TEST_SEED), captions(combination), None)


def _for_training(seed: int, drawings: int) -> Iterator[_Captioned]:
    for combination in combinations(held_out=False):
        for number in range(drawings):
            name, pixels = f"{combination.name}-{number:03}.png", draw(combination, seed, number)
            yield _Captioned(name, pixels, captions(combination), combination.name)


def _write(folder: Path, images: Iterable[_Captioned], progress: Progress) -> None:
    from PIL import Image

    (folder / IMAGES).mkdir(parents=True)
    lines: dict[str, list[str]] = defaultdict(list)
    for image in images:
        Image.fromarray(image.pixels).save(folder / IMAGES / image.name, optimize=True)
        for language, caption in image.captions.items():
            row = {"image": image.name, "caption": caption}
            row |= {"cluster": image.cluster} if image.cluster else {}
            lines[language].append(json.dumps(row, ensure_ascii=False) + "\n")
        progress.advance(1)
    for language, rows in lines.items():
        (folder / f"captions.{language}.jsonl").write_text("".join(rows), encoding="utf-8", newline="\n")
