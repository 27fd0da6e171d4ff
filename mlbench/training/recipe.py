"""Recipes: what is trained on which data and how, declared in TOML; every fault of a recipe is reported at once."""

import json
import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy
from hashlib import sha256
from importlib.resources import files as package_files
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, Field, PrivateAttr, ValidationError, model_validator

from mlbench.declarations import (
    Declared,
    DeclaredFile,
    Language,
    Sorted,
    checked,
    distinct,
    faults_of,
    read_toml,
    some,
)
from mlbench.errors import DataError, InvalidRecipe, UnknownName, UserError, suggest
from mlbench.tasks import load_task

Share = Annotated[float, Field(ge=0, le=1)]
TaskName = Annotated[str, checked(lambda name: load_task(name).name)]
_NAME = r"^[a-z0-9]+([._-][a-z0-9]+)*$"


class StaticModel(Declared):
    """A table of subword vectors: `pieces` subwords of a unigram model learned from the training texts, times `dim`."""

    pieces: Annotated[int, Field(ge=64, le=1_000_000)] = 50_000
    dim: Annotated[int, Field(ge=2, le=4096)] = 128


class TransformerModel(Declared):
    """An encoder to start from: a folder or a hub id, and how texts enter it."""

    checkpoint: Annotated[str, Field(min_length=1)]
    revision: str | None = None
    pooling: Literal["mean", "cls", "max", "lasttoken"] | None = None
    max_length: Annotated[int, Field(ge=2)] | None = None
    query_prefix: str = ""
    document_prefix: str = ""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    gradient_accumulation: Annotated[int, Field(ge=1)] = 1


class Batches(Declared):
    """How batches are drawn: monolingual with probability `alpha`, cross-lingual otherwise (arXiv 2408.10536, sec. 3).

    `monolingual` batches have one language (`mono`) or same-language pairs of many (`mixed`); in `cross_lingual` ones
    each example has its own ordered pair of languages (`cross_example`) or all have the same (`cross_batch`).
    Languages, or ordered pairs of them, are drawn with weights size^language_tau and data sets with
    size^dataset_tau: 0 is uniform. A batch that lacks examples without a clash is drawn again (`refuse`) or taken as
    it is (`shorten`).
    """

    size: Annotated[int, Field(ge=2)] = 256
    alpha: Share = 0.5
    monolingual: Literal["mono", "mixed"] = "mono"
    cross_lingual: Literal["cross_example", "cross_batch"] = "cross_example"
    language_tau: Annotated[float, Field(ge=0, le=1)] = 0.0
    dataset_tau: Annotated[float, Field(ge=0, le=1)] = 1.0
    unfilled: Literal["refuse", "shorten"] = "shorten"


class Views(Declared):
    """How query and document are made from one text, or from a text and its translation, where there are no questions.

    `overlap` is the probability that a place of one view is in the other as well: 0 disjoint, 1 both whole.
    """

    overlap: Share = 0.5


class Loss(Declared):
    """InfoNCE with the cosine divided by `temperature`.

    With `hard_only` negatives the denominator has the own document and the hard negatives of all examples (arXiv
    2408.10536, eq. 1); with `in_batch` the other examples' documents too. `symmetric` adds the same from document to
    query.
    """

    negatives: Literal["in_batch", "hard_only"] = "in_batch"
    temperature: Annotated[float, Field(gt=0)] = 0.05
    symmetric: bool = False

    @model_validator(mode="after")
    def _two_sided(self) -> "Loss":
        if self.symmetric and self.negatives == "hard_only":
            raise ValueError("symmetric needs negatives = 'in_batch': hard negatives belong to queries")
        return self


class Optimizer(Declared):
    """AdamW for transformers, sparse Adam for static models; the rate rises over `warmup`, a share of the steps."""

    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "linear"] = "constant"
    warmup: Share = 0.0


class DataSet(Declared):
    """Rows to train on: `files` of JSON lines, or `hub`, a name that the library `datasets` loads.

    `columns` says which column of a hub's rows is what: `query`, `document`, `language` and `negatives`; `language` is
    then the language of all rows where there is no such column.
    """

    name: Annotated[str, Field(pattern=_NAME)]
    files: Annotated[tuple[DeclaredFile, ...], AfterValidator(distinct), Field(strict=False)] = ()
    hub: str | None = None
    configuration: str | None = None
    revision: str | None = None
    split: str = "train"
    columns: dict[Literal["query", "document", "language", "negatives"], str] = Field(default={})
    language: Language | None = None
    licence: str = "not stated"
    homepage: str = ""
    citation: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> "DataSet":
        if bool(self.files) == (self.hub is not None):
            raise ValueError("give files or hub, one of them")
        if self.hub is not None and not {"query", "document"} <= self.columns.keys():
            raise ValueError("columns must name query and document")
        if self.hub is not None and (self.language is None) == ("language" not in self.columns):
            raise ValueError("give language or columns.language, one of them")
        return self


DataSets = Annotated[tuple[DataSet, ...], AfterValidator(some), Field(strict=False)]


class Validation(Declared):
    """How progress is judged: the loss on held-out batches, every so many steps.

    They come from a `share` of the training rows, whole groups of translations and repetitions, or from `datasets`.
    With `patience`, training ends after so many judgments without a better one, and the best weights are kept.
    """

    share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    datasets: Annotated[tuple[DataSet, ...], Field(strict=False)] = ()
    every: Annotated[int, Field(ge=1)] = 500
    batches: Annotated[int, Field(ge=1)] = 20
    patience: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> "Validation":
        if bool(self.datasets) == (self.share > 0):
            raise ValueError("give share or datasets, one of them")
        return self


class Contamination(Declared):
    """Whether training texts may hold texts of `tasks`: `refuse` to train, `drop` the rows, or `warn` and go on."""

    tasks: Annotated[tuple[TaskName, ...], AfterValidator(distinct), Field(strict=False)] = ()
    action: Literal["refuse", "drop", "warn"] = "refuse"


class Recipe(Declared):
    """All that decides a trained model, but for the versions of libraries and the machine."""

    name: Annotated[str, Field(pattern=_NAME)]
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
    path = _shipped() / f"{spec}.toml" if spec in recipe_names() else Path(spec)
    if not path.is_file():
        if path.suffix == ".toml" or re.search(r"[/\\]", spec):
            raise DataError(f"there is no recipe {spec}")
        raise UnknownName("recipe", spec, recipe_names())
    table, faults = read_toml(path, spec, InvalidRecipe), list[str]()
    base = table.pop("extends", None)
    if base in recipe_names():
        table = _overlay(read_toml(_shipped() / f"{base}.toml", spec, InvalidRecipe), table)
    elif base is not None:
        faults.append(f"extends: unknown recipe {base!r}: {suggest(str(base), recipe_names())}")
    for key, value in (changes or {}).items():
        try:
            table = _overlay(table, _nested(key_path(key), value))
        except UserError as error:
            faults.append(str(error))
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        found = faults_of(error, Recipe, also_known=("extends",), skip=("missing",) if faults else ())
        raise InvalidRecipe(spec, faults + found) from error
    if faults:
        raise InvalidRecipe(spec, faults)
    recipe._root = path.parent
    return recipe


def key_path(key: str) -> tuple[str, ...]:
    """Return where `key` stands in a recipe: `alpha` is `("batches", "alpha")`.

    Raises `UnknownName`, and `UserError` for a key that several tables have.
    """
    paths = _paths(Recipe)
    if tuple(key.split(".")) in paths:
        return tuple(key.split("."))
    found = [path for path in paths if path[-1] == key]
    if not found:
        raise UnknownName("key of recipes", key, {path[-1] for path in paths} | {".".join(path) for path in paths})
    if len(found) > 1:
        raise UserError(f"{key} stands in several tables: write {' or '.join('.'.join(path) for path in found)}")
    return found[0]


def parse_value(text: str) -> object:
    """Return `text` as TOML reads it, `0.5` as a number; what is no TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _shipped() -> Path:
    return Path(str(package_files("mlbench.recipe_files")))


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
        inner = [part for part in (field.annotation, *get_args(field.annotation)) if isinstance(part, type)]
        tables = [part for part in inner if issubclass(part, BaseModel)]
        paths += [(name, *path) for table in tables for path in _paths(table)] or [(name,)]
    return paths
