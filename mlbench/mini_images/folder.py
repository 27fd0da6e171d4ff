"""Writes images and captions as a folder that is a task, or training data."""

import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from mlbench.atomic import replaced_folder
from mlbench.errors import MissingExtra, UserError
from mlbench.mini_images.combinations import Combination, combinations
from mlbench.mini_images.drawing import draw
from mlbench.mini_images.grammars import GRAMMARS, caption
from mlbench.protocols import Progress, Silence

TEST_SEED = 0
"""The images for evaluation are always those of this seed; those for training never are."""

IMAGES = "images"

_LAST_SEED = 2**32 - 1
_SILENCE = Silence()


def make(folder: Path, *, seed: int = 1, drawings: int = 12, progress: Progress = _SILENCE) -> tuple[int, int]:
    """Write `folder`/test, always the same, and `folder`/train with `drawings` images of each combination for training.

    The two share no combination. Returns the numbers of images. Raises `UserError` where `folder` is there and is not
    empty, or for a seed outside 1 to 2^32 - 1, and `MissingExtra` without Pillow; after any error nothing is left.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is there already: name a folder that is empty or new")
    if not TEST_SEED < seed <= _LAST_SEED:
        raise UserError(f"the seed of the drawings is from 1 to {_LAST_SEED:,}, not {seed:,}")
    if find_spec("PIL") is None:
        raise MissingExtra("images", "images")
    folder.parent.mkdir(parents=True, exist_ok=True)
    test = [(combination, 0) for combination in combinations(held_out=True)]
    train = [(combination, number) for combination in combinations(held_out=False) for number in range(drawings)]
    progress.start("draw", len(test) + len(train))
    with replaced_folder(folder) as unfinished:
        _write(unfinished / "test", test, TEST_SEED, progress)
        _write(unfinished / "train", train, seed, progress)
    progress.finish()
    return len(test), len(train)


def write_test(folder: Path) -> None:
    """Write the images for evaluation and their captions into `folder`, which is made; raises `OSError`."""
    _write(folder, [(combination, 0) for combination in combinations(held_out=True)], TEST_SEED, _SILENCE)


def _write(folder: Path, drawings: Iterable[tuple[Combination, int]], seed: int, progress: Progress) -> None:
    from PIL import Image

    (folder / IMAGES).mkdir(parents=True)
    captions: dict[str, list[str]] = {language: [] for language in GRAMMARS}
    for combination, number in drawings:
        name = f"{combination.name}.png" if seed == TEST_SEED else f"{combination.name}-{number:03}.png"
        Image.fromarray(draw(combination, seed, number)).save(folder / IMAGES / name, optimize=True)
        for language, lines in captions.items():
            row = {"image": name, "caption": caption(language, combination)}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        progress.advance(1)
    for language, lines in captions.items():
        (folder / f"captions.{language}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
