"""Recipes: what is trained on which data and how, declared in TOML; every fault of a recipe is reported at once."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from hashlib import sha256
from importlib.resources import files as package_files
from pathlib import Path
from types import UnionType
from typing import Annotated, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator

from mlbench.declarations import Declared, Language, Sorted, distinct, faults_of, read_toml
from mlbench.errors import DataError, InvalidRecipe, UnknownName, UserError, suggest
from mlbench.training.settings import (
    Batches,
    Contamination,
    DataSets,
    Loss,
    Name,
    Optimizer,
    StaticModel,
    TransformerModel,
    Validation,
    Views,
)

_NO_ZERO = r"(?:^|(?<=^[+-]))(?=\.\d)"


class Recipe(Declared):
    """All that decides a trained model, but for the versions of libraries and the machine."""

    name: Name
    title: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    steps: Annotated[int, Field(ge=1)]
    languages: Annotated[tuple[Language, ...], Sorted, Field(strict=False)]
    static: StaticModel | None = None
    transformer: TransformerModel | None = None
    batches: Batches = Batches()
    views: Views = Views()
    loss: Loss = Loss()
    optimizer: Optimizer
    datasets: DataSets
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    validation: Validation | None = None
    contamination: Contamination = Contamination()

    _root: Path = PrivateAttr(default=Path())

    @property
    def root(self) -> Path:
        """The folder of the recipe: where files without a checksum lie."""
        return self._root

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if (self.static is None) == (self.transformer is None):
            raise ValueError("give [static] or [transformer], one of them")
        if self.batches.alpha < 1 and len(self.languages) < 2:
            raise ValueError("alpha below 1 asks for cross-lingual batches, which need two languages")
        if self.static is not None and self.optimizer.weight_decay:
            raise ValueError("optimizer.weight_decay is for transformers: sparse Adam has none, so leave it out")
        held_out = self.validation.datasets if self.validation else ()
        distinct(tuple(data.name for data in (*self.datasets, *held_out)))
        return self

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of what the recipe says, apart from its name and title."""
        content = self.model_dump(mode="json", exclude={"name", "title"})
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def recipe_names() -> tuple[str, ...]:
    """Return the sorted names of the shipped recipes."""
    return tuple(sorted(path.stem for path in _shipped().glob("*.toml")))


def load_recipe(spec: str, changes: Mapping[str, object] | None = None) -> Recipe:
    """Return the recipe that `spec` names, a shipped one or the path of a TOML file, with `changes` made to it.

    `extends = "NAME"` in it takes what it leaves out from a shipped recipe. `changes` maps keys, alone (`alpha`) or
    with their table (`batches.alpha`), to values. Raises `InvalidRecipe` with all faults at once, `UnknownName` or
    `DataError` where there is nothing such.
    """
    recipe, faults = check_recipe(spec, changes)
    if faults or recipe is None:
        raise InvalidRecipe(spec, faults)
    return recipe


def check_recipe(spec: str, changes: Mapping[str, object] | None = None) -> tuple[Recipe | None, list[str]]:
    """Return a recipe as `load_recipe` does, and all its faults, one line each.

    With faults it is what is left without the faulty keys, enough to check its data, or None where too little is left.
    Raises `UnknownName` or `DataError` where there is nothing such, and `InvalidRecipe` for what is no TOML.
    """
    path = _shipped() / f"{spec}.toml" if spec in recipe_names() else Path(spec)
    if not path.is_file():
        if path.suffix == ".toml" or re.search(r"[/\\]", spec):
            raise DataError(f"there is no recipe {spec}")
        raise UnknownName("recipe", spec, recipe_names())
    faults: list[str] = []
    table = _read(path, spec, faults)
    for key, value in (changes or {}).items():
        try:
            table = _overlay(table, _nested(key_path(key), value))
        except UserError as error:
            faults.append(str(error))
    try:
        recipe: Recipe | None = Recipe.model_validate(table)
    except ValidationError as error:
        faults += faults_of(error, Recipe, also_known=("extends",), skip=("missing",) if faults else ())
        recipe = _usable(table)
    if recipe is not None:
        recipe._root = path.parent
    return recipe, faults


def _usable(table: Mapping[str, object]) -> Recipe | None:
    """Return the recipe without its faulty keys, None where those left do not say what to train on.

    What does not decide which rows are drawn is replaced before.
    """
    left = _overlay(table, {"name": "unnamed", "steps": 1, "optimizer": {"learning_rate": 1.0}, "static": {}})
    while True:
        try:
            return Recipe.model_validate(left)
        except ValidationError as error:
            # Longer paths first: a key is gone before its table may be.
            places = sorted({detail["loc"] for detail in error.errors()}, key=len, reverse=True)
            if not all(_remove(left, place) for place in places):
                return None


def _remove(table: object, place: Sequence[int | str]) -> bool:
    """Remove what is at `place` from a table; returns whether there is a key that can go without its list."""
    *parents, key = place or ("",)
    for step in parents:
        if not (isinstance(table, list) or (isinstance(table, dict) and step in table)):
            return False
        table = table[step]  # type: ignore[index]
    return isinstance(table, dict) and table.pop(key, None) is not None


def key_path(key: str) -> tuple[str, ...]:
    """Return where `key` stands in a recipe: `alpha` is `("batches", "alpha")`.

    Raises `UnknownName`, and `UserError` for a name that several things have.
    """
    paths = _paths(Recipe)
    if tuple(key.split(".")) in paths:
        return tuple(key.split("."))
    found = [path for path in paths if path[-1] == key]
    if not found:
        raise UnknownName("key of recipes", key, {".".join(path) if "." in key else path[-1] for path in paths})
    meant = [".".join(path) for path in found] + [f"{key}.KEY" for table in Recipe.model_fields if table == key]
    if len(meant) > 1:
        raise UserError(f"{key} is the name of several things: write {' or '.join(meant)}")
    return found[0]


def parse_value(text: str) -> object:
    """Return `text` as TOML reads it, `0.5` as a number, and `.5` too; what is no TOML is a string."""
    try:
        table = tomllib.loads(f"value = {re.sub(_NO_ZERO, '0', text)}")
    except tomllib.TOMLDecodeError:
        return text
    return table["value"] if len(table) == 1 else text


def _shipped() -> Path:
    return Path(str(package_files("mlbench.recipe_files")))


def _read(path: Path, spec: str, faults: list[str]) -> dict[str, object]:
    """Return the table of a recipe's file, laid over that of the recipe it extends."""
    table = read_toml(path, spec, InvalidRecipe)
    extended = table.pop("extends", None)
    if extended in recipe_names():
        return _overlay(_read(_shipped() / f"{extended}.toml", spec, faults), table)
    if extended is not None:
        faults.append(f"extends: unknown recipe {extended!r}: {suggest(str(extended), recipe_names())}")
    return table


def _overlay(table: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return `table` with what `above` says instead; tables are merged, everything else is replaced."""
    merged = deepcopy(dict(table))
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _overlay(under, value) if isinstance(under, dict) and isinstance(value, Mapping) else value
    # One model replaces the other.
    for model, other in (("static", "transformer"), ("transformer", "static")):
        if model in above and other not in above:
            merged.pop(other, None)
    return merged


def _nested(path: tuple[str, ...], value: object) -> dict[str, object]:
    return {path[0]: _nested(path[1:], value) if len(path) > 1 else value}


def _paths(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """Return the paths of all single values of a recipe, tables inside tables but not in lists."""
    paths: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        parts = get_args(field.annotation) if isinstance(field.annotation, UnionType) else (field.annotation,)
        tables = [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
        paths += [(name, *path) for table in tables for path in _paths(table)] or [(name,)]
    return paths
