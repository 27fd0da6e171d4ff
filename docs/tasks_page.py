"""The page of all tasks and recipes: where each of their files comes from, how large it is, and what was read of it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from mlbench.tasks.task import DeclaredFile, Task, load_task, task_names
from mlbench.training.recipe import Recipe, load_recipe, recipe_names
from mlbench.training.recipe_tables import DataSet
from mlbench.training.sources import load_training_set, training_set_names

_INTRO = """\
# Tasks and recipes

What is shipped, with the files that it reads: their address, their size, and how they are verified. `mlbench tasks
show NAME` lists each file, with its checksum. A file with an address is downloaded when it is first asked for, once its
licence has been shown; of the others the table says why they are not. There is no size where none is published.

The last column says what this project has read itself. *Read here* are files exactly as they are published. *Layout
only* are files that were not at hand: their reader follows the publisher's description or code, and is tested on files
written by hand in that layout. Where a task file has expected counts, the first reading checks them."""

_TRAINING_SETS = "What is trained on and not measured with; recipes name these sets as they name tasks."

_HEAD = "| {} | files | address | bytes | verified by | licence | |\n|---|---|---|---|---|---|---|"


class FileSet(NamedTuple):
    """One row: the files of a task or a recipe that have the same use."""

    owner: str
    use: str
    files: Sequence[DeclaredFile]
    licence: str
    read: str
    source: str = ""


def page() -> str:
    """Return the page."""
    tasks = [each for name in task_names() for each in of_task(load_task(name))]
    training_sets = [each for name in training_set_names() for each in of_task(load_training_set(name))]
    recipes = [each for name in recipe_names() for each in of_recipe(load_recipe(name))]
    return "\n\n".join(
        [
            _INTRO,
            "## Tasks",
            "\n".join([_HEAD.format("task"), *map(_row, tasks)]),
            "## Training sets",
            _TRAINING_SETS,
            "\n".join([_HEAD.format("training set"), *map(_row, training_sets)]),
            "## Recipes",
            "\n".join([_HEAD.format("recipe"), *map(_row, recipes)]),
        ]
    )


def of_task(task: Task) -> Iterator[FileSet]:
    """Yield the sets of files that a task reads, by their role; one without files where a library finds them."""
    if not task.files:
        where = task.hub or task.source
        yield FileSet(task.name, "all", (), task.licence, "layout only", where)
    for role, files in _by_role(task.files, task.role_of):
        read = "read here" if role in task.read_here else "layout only"
        yield FileSet(task.name, role, files, task.licence, "" if _is_shipped(files) else read)
    if task.images is not None and task.images.archives:
        yield FileSet(task.name, "images", task.images.archives, task.licence, "layout only")


def of_recipe(recipe: Recipe) -> Iterator[FileSet]:
    """Yield the sets of files that a recipe trains on, one for each of its data sets."""
    for data in (*recipe.datasets, *(recipe.validation.datasets if recipe.validation else ())):
        licence = "as above" if data.tasks else data.licence
        yield FileSet(recipe.name, data.name, data.files, licence, "", _source(data))


def _source(data: DataSet) -> str:
    """Say where a data set comes from that names no files."""
    if data.tasks:
        return "above: " + ", ".join(f"`{name}`" for name in data.tasks)
    if data.hub is not None:
        return _link(f"https://huggingface.co/datasets/{data.hub}")
    return f"made here: {data.citation}" if data.captions is not None else ""


def _by_role(
    files: Iterable[DeclaredFile], role_of: Callable[[DeclaredFile], str]
) -> Iterator[tuple[str, Sequence[DeclaredFile]]]:
    for role, same in groupby(sorted(files, key=role_of), key=role_of):
        yield role, tuple(same)


def _is_shipped(files: Sequence[DeclaredFile]) -> bool:
    return not any(file.url or file.checksum or file.unchecked or file.reason for file in files)


def _row(row: FileSet) -> str:
    cells = (
        f"`{row.owner}`",
        _use(row),
        (_link(row.source) if row.source.startswith("hf://") else row.source) or _address(row.files),
        _size(row.files),
        "digests of the hub" if "hf://" in row.source else _check(row.files),
        row.licence,
    )
    return f"| {' | '.join(cells)} | {row.read} |"


def _use(row: FileSet) -> str:
    return row.use if len(row.files) < 2 else f"{row.use}, {len(row.files)} files"


def _address(files: Sequence[DeclaredFile]) -> str:
    if _is_shipped(files):
        return "in the package"
    urls = [file.url for file in files if file.url]
    rest = f" and {len(urls) - 1} more" if len(urls) > 1 else ""
    reasons = "; ".join(dict.fromkeys(file.reason for file in files if file.reason))
    parts = [f"{_link(urls[0])}{rest}"] if urls else []
    return ", ".join(parts + ([f"by hand: {reasons}"] if reasons else []))


def _link(address: str) -> str:
    """Return a link of the site and the name of the file, to the whole address."""
    if address.startswith("hf://"):
        repository, _, path = address.removeprefix("hf://").partition("@")
        commit, _, inside = path.partition("#")[0].partition("/")
        address = f"https://huggingface.co/{repository}/" + (f"blob/{commit}/{inside}" if inside else f"tree/{commit}")
    parts = urlsplit(address)
    name = PurePosixPath(parts.path).name
    return f"[{parts.netloc}: {name}]({address})" if name else f"<{address}>"


def _size(files: Sequence[DeclaredFile]) -> str:
    known = [file.bytes for file in files if file.bytes is not None]
    return f"{sum(known):,}" + ("" if len(known) == len(files) else " and more") if known else ""


def _check(files: Sequence[DeclaredFile]) -> str:
    kinds = {
        "SHA-256": any(file.sha256 for file in files),
        "MD5": any(file.md5 for file in files),
        "digests of the hub": any(file.on_hub and file.checksum is None for file in files),
    }
    return ", ".join(kind for kind, found in kinds.items() if found)
