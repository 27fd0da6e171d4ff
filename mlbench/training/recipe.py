"""Recipes: what is trained on which data and how, declared in TOML; every fault of a recipe is reported at once."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from hashlib import sha256
from importlib.resources import files as package_files
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator
from pydantic.fields import FieldInfo

from mlbench.collection.languages import IMAGE
from mlbench.errors import DataError, InvalidRecipe, UnknownName, UserError, suggest
from mlbench.io.toml import Declared, distinct, faults_of, read_toml
from mlbench.tasks.task import Languages
from mlbench.training.recipe_tables import (
    FUSION,
    SHORT_FORM,
    TOWERS,
    Batches,
    ContaminationPolicy,
    DataSet,
    DataSets,
    ImageShare,
    ImageTextModel,
    Loss,
    Name,
    Optimizer,
    StaticModel,
    TransformerModel,
    Validation,
    Views,
    changed,
    ratio_keys,
)

MODELS = ("static", "transformer", "image_text")
"""The tables of models; a recipe has one."""
IMAGE_SHARE = ("image_share",)
"""Where the table stands whose keys are languages."""
_NO_ZERO = r"(?:^|(?<=[\s=,\[+-]))(?=\.\d)"
# A key, and the inherited one that has no use beside it: a revision is that of the checkpoint it was written for.
_INSTEAD: tuple[tuple[tuple[str, str], tuple[str, str]], ...] = (
    (("transformer", "checkpoint"), ("transformer", "revision")),
    (("image_text", "checkpoint"), ("image_text", "revision")),
    (("validation", "share"), ("validation", "datasets")),
    (("validation", "datasets"), ("validation", "share")),
)
# What recipes of texts do not say: their fingerprints are those from before there were images.
_OF_IMAGES: dict[str, Any] = {
    "image_text": True,
    "image_share": True,
    "batches": {"captions", "mixed"},
    "loss": {"learn_temperature"},
    "datasets": {"__all__": {"captions"}},
    "validation": {"datasets": {"__all__": {"captions"}}},
}
# Keys that came later: a recipe that leaves them at their default has the fingerprint from before.
_LATER: Mapping[str, tuple[str, ...]] = {
    "transformer": ("freeze_embeddings", "dropout"),
    "image_text": ("architecture", *TOWERS),
    "loss": FUSION,
}


class Recipe(Declared):
    """All that decides a trained model, but for the versions of libraries and the machine."""

    name: Name
    title: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    steps: Annotated[int, Field(ge=1)]
    languages: Languages
    static: StaticModel | None = None
    transformer: TransformerModel | None = None
    image_text: ImageTextModel | None = None
    batches: Batches = Batches()
    views: Views = Views()
    loss: Loss = Loss()
    optimizer: Optimizer
    datasets: DataSets
    data_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    image_share: ImageShare = Field(default={})
    validation: Validation | None = None
    contamination: ContaminationPolicy = ContaminationPolicy()

    _root: Path = PrivateAttr(default=Path())

    @property
    def root(self) -> Path:
        """The folder of the recipe: where files without a checksum lie."""
        return self._root

    @property
    def corpora(self) -> tuple[str, ...]:
        """What queries and documents may be in: the languages, and `IMAGE` where images are trained on, sorted."""
        return tuple(sorted((*self.languages, IMAGE))) if self.image_text else self.languages

    @property
    def overlap(self) -> float:
        """The share of a text that query and document have in common; captions are always whole."""
        return 1.0 if self.image_text else self.views.overlap

    @property
    def patience(self) -> int | None:
        """After how many judgments without a better one training ends; None where it goes on to its last step."""
        return self.validation.patience if self.validation else None

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if sum(getattr(self, model) is not None for model in MODELS) != 1:
            raise ValueError("give [static], [transformer] or [image_text], one of them")
        self._fit_images() if self.image_text is not None else self._fit_texts()
        if self.static is not None and self.optimizer.weight_decay:
            raise ValueError("optimizer.weight_decay is for transformers: sparse Adam has none, so leave it out")
        distinct(tuple(data.name for data in self._all_datasets))
        return self

    def _fit_texts(self) -> None:
        found = [f"batches.{key}" for key in changed(self.batches, ("captions", "mixed"))]
        found += [f"loss.{key}" for key in changed(self.loss, ("learn_temperature", *FUSION))]
        found += ["image_share"] if self.image_share else []
        found += [f"{data.name}: captions" for data in self._all_datasets if data.captions]
        if found:
            raise ValueError(f"{found[0]} is for images: give [image_text] or leave it out")
        self._fit_ratios(of_images=False)
        if self.batches.shares(of_images=False)[self.batches.cross_lingual] > 0 and len(self.languages) < 2:
            asked = "ratios.cross above 0" if self.batches.ratios else "alpha below 1"
            raise ValueError(f"{asked} asks for cross-lingual batches, which need two languages")

    def _fit_images(self) -> None:
        found = [f"batches.{key}" for key in changed(self.batches, ("alpha", "monolingual"))]
        found += [f"views.{key}" for key in changed(self.views, ("overlap",))]
        found += ["loss.negatives"] if self.loss.negatives == "hard_only" else []
        if found:
            raise ValueError(f"{found[0]} is for texts: [image_text] has batches.captions and batches.mixed instead")
        assert self.image_text is not None
        self._fit_fusion(self.image_text)
        self._fit_ratios(of_images=True)
        if self.batches.shares(of_images=True)["captions"] > 0 and len(self.languages) < 2:
            raise ValueError("captions above 0 asks for captions beside captions, which need two languages")
        for data in self._all_datasets:
            if data.captions is None:
                raise ValueError(f"{data.name}: [image_text] is trained on a folder of images: give captions")
        unknown = sorted(self.image_share.keys() - {*self.languages, "default"})
        if unknown:
            raise ValueError(f"image_share: {unknown[0]!r} is not among the languages: {', '.join(self.languages)}")

    def _fit_fusion(self, model: ImageTextModel) -> None:
        if model.architecture == "clip":
            if found := changed(self.loss, FUSION):
                raise ValueError(f"loss.{found[0]} is for a blip or an albef: give image_text.architecture")
        elif self.loss.learn_temperature:
            raise ValueError(f"loss.learn_temperature: the temperature of {model.architecture} stays as it is")

    def _fit_ratios(self, *, of_images: bool) -> None:
        known = ratio_keys(of_images=of_images)
        other = next((kind for kind in self.batches.ratios if kind not in known), None)
        if other is not None:
            what, kinds = "images" if of_images else "texts", ", ".join(known)
            raise ValueError(f"batches.ratios.{other} is no kind of batches of {what}, which are {kinds}")

    @property
    def _all_datasets(self) -> tuple[DataSet, ...]:
        return (*self.datasets, *(self.validation.datasets if self.validation else ()))

    def fingerprint(self) -> str:
        """Return the SHA-256 (hex) of what the recipe says, apart from its name and title."""
        without = {"name": True, "title": True, **({} if self.image_text else _OF_IMAGES)}
        content = self.model_dump(mode="json", exclude=without)
        for table, keys in _LATER.items():
            declared = getattr(self, table)
            for key in set(keys) - set(changed(declared, keys)) if declared is not None else ():
                del content[table][key]
        for data in (*content["datasets"], *(content["validation"] or {}).get("datasets", ())):
            # What names no tasks has the fingerprint from before they could be named; a reason decides nothing.
            if not data["tasks"]:
                del data["tasks"]
            for file in data["files"]:
                del file["reason"]
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def recipe_names() -> tuple[str, ...]:
    """Return the sorted names of the shipped recipes."""
    return tuple(sorted(path.stem for path in _shipped().glob("*.toml")))


def load_recipe(spec: str, changes: Mapping[str, object] | None = None) -> Recipe:
    """Return the recipe that `spec` names, a shipped one or the path of a TOML file, with `changes` made to it.

    `extends = "NAME"` in it takes what it leaves out from a shipped recipe, without the keys that `unset` lists.
    `changes` maps keys, alone (`alpha`) or with their table (`batches.alpha`), to values; None takes a key, or a whole
    table, out before the others are set. Raises `InvalidRecipe` with all faults at once, `UnknownName` or `DataError`
    where there is nothing such.
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
    path, faults = _find(spec), list[str]()
    table = _read(path, spec, faults)
    table = _change(table, changes or {}, faults)
    try:
        recipe: Recipe | None = Recipe.model_validate(table)
    except ValidationError as error:
        faults += faults_of(error, Recipe, also_known=("extends", "unset"), skip=("missing",) if faults else ())
        recipe = _usable(table)
    if recipe is not None:
        recipe._root = path.parent
    return recipe, faults


def model_of(spec: str) -> str | None:
    """Return the table of the model in the recipe that `spec` names, `static` say; None where it has not one.

    Raises as `check_recipe` does.
    """
    return _model(_read(_find(spec), spec, []))


def _find(spec: str) -> Path:
    path = _shipped() / f"{spec}.toml" if spec in recipe_names() else Path(spec)
    if not path.is_file():
        if path.suffix == ".toml" or re.search(r"[/\\]", spec):
            raise DataError(f"there is no recipe {spec}")
        raise UnknownName("recipe", spec, recipe_names())
    return path


def _model(table: Mapping[str, object]) -> str | None:
    found = [model for model in MODELS if model in table]
    return found[0] if len(found) == 1 else None


def _change(table: dict[str, object], changes: Mapping[str, object], faults: list[str]) -> dict[str, object]:
    """Return `table` with `changes` made to it: first the keys without a value go, then the others are set."""
    _unset(table, [key for key, value in changes.items() if value is None], faults)
    above: dict[str, object] = {}
    for key, value in changes.items():
        try:
            if value is not None:
                above = _merge(above, _nested(key_path(key, _model(_overlay(table, above))), value))
        except UserError as error:
            faults.append(str(error))
    return _extend(table, above)


def _unset(table: dict[str, object], keys: Iterable[str], faults: list[str]) -> None:
    """Take keys, or whole tables, out of `table`; those that are not there are gone already."""
    for key in keys:
        try:
            path = table_or_key_path(key, _model(table))
        except UserError as error:
            faults.append(str(error))
            continue
        if _is_required(path):
            faults.append(f"{key} is required and cannot be unset: set another value")
        else:
            _remove(table, path)


def _is_required(path: Sequence[str]) -> bool:
    model: type[BaseModel] = Recipe
    for name in path[:-1]:
        model = _tables(model.model_fields[name])[0]
    return model.model_fields[path[-1]].is_required()


def _usable(table: Mapping[str, object]) -> Recipe | None:
    """Return the recipe without its faulty keys, None where those left do not say what to train on.

    What does not decide which rows are drawn is replaced before.
    """
    model = "image_text" if "image_text" in table else "static"
    left = _overlay(table, {"name": "unnamed", "steps": 1, "optimizer": {"learning_rate": 1.0}, model: {}})
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


def key_path(key: str, model: str | None = None) -> tuple[str, ...]:
    """Return where `key` stands in a recipe: `alpha` is `("batches", "alpha")`.

    Of the same key of several models, that of `model` is meant (see `model_of`). The share of one language is
    `image_share.LANGUAGE`. Raises `UnknownName`, and `UserError` for a name that several things have.
    """
    table, dot, language = key.partition(".")
    if dot and (table,) == IMAGE_SHARE:
        return *IMAGE_SHARE, language
    paths = _paths(Recipe)
    if tuple(key.split(".")) in paths:
        return tuple(key.split("."))
    found = [path for path in paths if path[-1] == key]
    if not found and key in Recipe.model_fields:
        raise UserError(
            f"{key} is a table: name a key of it, such as {'.'.join(next(p for p in paths if p[0] == key))}"
        )
    if not found:
        names = {".".join(path) if "." in key else path[-1] for path in paths}
        raise UnknownName("key of recipes", key, names | Recipe.model_fields.keys())
    if model is not None and all(path[0] in MODELS for path in found):
        found = [path for path in found if path[0] == model] or found
    meant = [".".join(path) for path in found] + [f"{key}.KEY" for table in Recipe.model_fields if table == key]
    if len(meant) > 1:
        raise UserError(f"{key} is the name of several things: write {' or '.join(meant)}")
    return found[0]


def table_or_key_path(key: str, model: str | None = None) -> tuple[str, ...]:
    """Return where a key, or a whole table such as `validation`, stands in a recipe; raises as `key_path` does."""
    return (key,) if key in Recipe.model_fields else key_path(key, model)


def parse_value(text: str) -> object:
    """Return `text` as TOML reads it, `0.5` as a number, and `.5` too; what is no TOML is a string."""
    for written in (text, re.sub(_NO_ZERO, "0", text)):
        try:
            table = tomllib.loads(f"value = {written}")
        except tomllib.TOMLDecodeError:
            continue
        return table["value"] if len(table) == 1 else text
    return text


def parse_changes(values: Mapping[str, str], unset: Iterable[str]) -> dict[str, object]:
    """Return the changes that `load_recipe` makes: the texts of `values` as `parse_value` reads them, None for `unset`.

    Raises `UserError` for a key that is in both.
    """
    taken_out = dict.fromkeys(unset)
    for key in values.keys() & taken_out.keys():
        raise UserError(f"{key} is set and unset: give --set {key} or --unset {key}, one of them")
    return {key: parse_value(value) for key, value in values.items()} | taken_out


def _shipped() -> Path:
    return Path(str(package_files("mlbench.recipe_files")))


def _read(path: Path, spec: str, faults: list[str]) -> dict[str, object]:
    """Return the table of a recipe's file, laid over that of the recipe it extends."""
    table = read_toml(path, spec, InvalidRecipe)
    extended, unset = table.pop("extends", None), table.pop("unset", [])
    keys = [key for key in unset if isinstance(key, str)] if isinstance(unset, list) else []
    if not isinstance(unset, list) or len(keys) < len(unset):
        faults.append("unset: must be a list of keys, such as ['validation', 'transformer.revision']")
    if extended in recipe_names():
        below = _read(_shipped() / f"{extended}.toml", spec, faults)
        _unset(below, keys, faults)
        return _extend(below, table)
    if extended is not None:
        faults.append(_no_such_base(str(extended)))
    elif keys:
        faults.append("unset: takes keys out of the recipe that is extended: name that with extends, or leave it out")
    return table


def _no_such_base(name: str) -> str:
    if name.endswith(".toml") or re.search(r"[/\\]", name):
        return f"extends: {name!r} is a file, and only shipped recipes are extended: {', '.join(recipe_names())}"
    return f"extends: unknown recipe {name!r}: {suggest(name, recipe_names())}"


def _extend(table: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return `_overlay`, without what was inherited and has no use beside something else that `above` says."""
    merged = _overlay(table, above)
    for key, other in _INSTEAD:
        said = _at(above, key)
        if said and said != _at(table, key) and _at(above, other) is None:
            _remove(merged, other)
    return merged


def _at(table: object, path: Sequence[str]) -> object:
    for step in path:
        table = table.get(step) if isinstance(table, Mapping) else None
    return table


def _overlay(table: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return `table` with what `above` says instead; tables are merged, everything else is replaced.

    One model replaces another, and `ratios` what was said before of the shares of batches.
    """
    under = deepcopy(dict(table))
    if above.keys() & set(MODELS):
        under = {key: value for key, value in under.items() if key not in MODELS or key in above}
    batches, said = under.get("batches"), above.get("batches")
    if isinstance(batches, dict) and isinstance(said, Mapping) and "ratios" in said:
        under["batches"] = {key: value for key, value in batches.items() if key not in {"ratios", *SHORT_FORM}}
    return _merge(under, above)


def _merge(table: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    merged = deepcopy(dict(table))
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _merge(under, value) if isinstance(under, dict) and isinstance(value, Mapping) else value
    return merged


def _nested(path: tuple[str, ...], value: object) -> dict[str, object]:
    return {path[0]: _nested(path[1:], value) if len(path) > 1 else value}


def _paths(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """Return the paths of all single values of a recipe, tables inside tables but not in lists."""
    paths: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        paths += [(name, *path) for table in _tables(field) for path in _paths(table)] or [(name,)]
    return paths


def _tables(field: FieldInfo) -> list[type[BaseModel]]:
    parts = get_args(field.annotation) if isinstance(field.annotation, UnionType) else (field.annotation,)
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]
