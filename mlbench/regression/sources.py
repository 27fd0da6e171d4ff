"""The two sides of a comparison: result files by task, found by a file's, a folder's or an entry's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from mlbench.errors import UserError, suggest
from mlbench.provenance import Provenance
from mlbench.ranks import Ranks
from mlbench.regression.document import System
from mlbench.result_files import results_in
from mlbench.results import Result
from mlbench.verification import read_pair

ENTRIES = Path("leaderboard") / "entries"
"""Where entries of a leaderboard lie, below the current folder."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A result, the counts beside it, and where it was read."""

    path: Path
    result: Result
    ranks: Ranks


@dataclass(frozen=True, eq=False)
class Side:
    """What one side was measured on: for each task one result, or one for each seed of a recipe."""

    name: str
    by_task: Mapping[str, tuple[Measured, ...]]


def find_side(name: str) -> Side:
    """Read a result file, a folder of results, or else the entry of the leaderboard called `name`.

    Raises `UserError` where there is nothing such, or a folder has several results of one task that are not seeds of
    one recipe, and `InvalidResult` for what cannot be read.
    """
    path, entry = Path(name), ENTRIES / name
    if path.is_file():
        return read_side(name, [path])
    folder = path if path.is_dir() else entry
    if not folder.is_dir():
        entries = [each.name for each in ENTRIES.iterdir() if each.is_dir()] if ENTRIES.is_dir() else []
        hint = f"; of its entries, {suggest(name, entries)}" if entries else ""
        raise UserError(f"there is no result file, folder of results or leaderboard entry {name!r}{hint}")
    found = results_in(folder)
    if not found:
        raise UserError(f"no result document in {folder}: make one with mlbench run --out {folder}")
    return read_side(name, found)


def read_side(name: str, paths: Sequence[Path]) -> Side:
    """Read results and their ranks files; raises as `find_side` does."""
    by_task: dict[str, list[Measured]] = {}
    for path in paths:
        result, ranks = read_pair(path)
        by_task.setdefault(result.task.name, []).append(Measured(path, result, ranks))
    for task, found in by_task.items():
        _check_seeds(name, task, found)
    return Side(name, {task: tuple(sorted(found, key=_seed)) for task, found in sorted(by_task.items())})


def describe_system(system: Sequence[Measured]) -> System:
    """Return what the document says of one side on one task."""
    return System(
        spec=system[0].result.retriever.spec,
        fingerprints=tuple(each.result.retriever.fingerprint for each in system),
        files=tuple(each.path.name for each in system),
    )


def _check_seeds(name: str, task: str, found: Sequence[Measured]) -> None:
    if len(found) == 1:
        return
    recipes = [each.result.retriever.training for each in found]
    known = [recipe for recipe in recipes if recipe is not None]
    alike = len(known) == len(found) and all(_recipe(each) == _recipe(known[0]) for each in known)
    if not alike or len({each.seed for each in known}) < len(found):
        raise UserError(
            f"{name} has {len(found)} results of {task} that are not training seeds of one recipe: name one file"
        )


def _recipe(training: Provenance) -> dict[str, JsonValue]:
    return {key: value for key, value in training.recipe.items() if key != "seed"}


def _seed(measured: Measured) -> int:
    training = measured.result.retriever.training
    return training.seed if training is not None and training.seed is not None else 0
