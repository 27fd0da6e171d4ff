"""Every shipped task and recipe can be had: each of its files has an address, or says why it has none."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlbench.tasks.task import DeclaredFile, load_task, task_names
from mlbench.training.recipe import load_recipe, recipe_names
from mlbench.training.sources import load_training_set, training_set_names


def fault(file: DeclaredFile, root: Path) -> str:
    """Say what is missing for the file to be had, "" where nothing is."""
    if file.downloadable or file.reason:
        return ""
    if file.checksum is None and not file.unchecked and (root / file.path).is_file():
        return ""
    return f"{file.path}: give an address with a checksum, or a reason"


def declared() -> Iterator[tuple[str, DeclaredFile, Path]]:
    for name in task_names():
        task = load_task(name)
        for file in (*task.files, *(task.images.archives if task.images else ())):
            yield f"task {name}", file, task.root
    for name in training_set_names():
        task = load_training_set(name)
        for file in task.files:
            yield f"training set {name}", file, task.root
    for name in recipe_names():
        recipe = load_recipe(name)
        for data in (*recipe.datasets, *(recipe.validation.datasets if recipe.validation else ())):
            for file in data.files:
                yield f"recipe {name}", file, recipe.root


def test_every_file_has_an_address_or_a_reason() -> None:
    faults = {name: fault(file, root) for name, file, root in declared() if fault(file, root)}
    assert faults == {}


def test_a_task_without_files_says_where_its_data_come_from() -> None:
    silent = [name for name in task_names() if not (task := load_task(name)).files and not (task.source or task.hub)]
    assert silent == []


def test_addresses_on_hubs_name_a_commit_or_have_a_checksum() -> None:
    moving = [
        f"{name}: {file.url}"
        for name, file, _ in declared()
        if file.url and file.checksum is None and file.downloadable and not re.search(r"[/@][0-9a-f]{40}/", file.url)
    ]
    assert moving == []


@pytest.mark.parametrize(
    ("file", "wrong"),
    [
        (DeclaredFile(path="a.json", url="https://e.org/a.json", sha256="0" * 64), False),
        (DeclaredFile(path="a.json", unchecked=True, reason="its licence must be accepted first"), False),
        (DeclaredFile(path="here.json"), False),
        (DeclaredFile(path="a.json", sha256="0" * 64), True),
        (DeclaredFile(path="a.json", url="https://e.org/a.json", unchecked=True), True),
        (DeclaredFile(path="gone.json"), True),
    ],
)
def test_a_file_that_cannot_be_had_is_found(tmp_path: Path, file: DeclaredFile, wrong: bool) -> None:
    (tmp_path / "here.json").write_text("{}")
    assert bool(fault(file, tmp_path)) is wrong
