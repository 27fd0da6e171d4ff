"""What a sweep trains: every combination of the values of some keys, with every seed; and where its files lie."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from mlbench.compare.sweep import Arm, SweepAxis
from mlbench.errors import InvalidRecipe, UserError
from mlbench.open_model import describe
from mlbench.protocols import Runtime
from mlbench.provenance import Provenance, read_provenance
from mlbench.results import read_result
from mlbench.tasks.task import Task
from mlbench.training.recipe import IMAGE_SHARE, Recipe, key_path, load_recipe, model_of, parse_value

MOST_POINTS = 10_000
_LONGEST_NAME = 80
# What a sweep decides itself.
_TAKEN = {"seed": "use --seeds N for seeds 0 to N - 1", "name": "it names the recipe", "title": "it names the recipe"}


@dataclass(frozen=True)
class PlannedPoint:
    """An arm with a seed: its recipe, and the name of its folders."""

    arm: str
    recipe: Recipe
    folder: str

    @property
    def name(self) -> str:
        """What people call it."""
        return f"{self.arm}, seed {self.recipe.seed}"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Plan:
    """All that is to be trained; points are in the order of seeds, then arms, so that early seeds are complete."""

    recipe: Recipe
    settings: Mapping[str, JsonValue]
    axes: tuple[SweepAxis, ...]
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    base: str
    points: tuple[PlannedPoint, ...]


@dataclass(frozen=True, kw_only=True)
class SweepFolder:
    """Where a sweep works and with what: `tasks` are names, files or folders, `out` the folder of all its files.

    `command` is what the user typed, for the manifests and results; `clipscore_model` the judge of CLIPScores.
    """

    tasks: tuple[str, ...]
    out: Path
    data_dir: Path | None = None
    runtime: Runtime = field(default_factory=Runtime)
    command: str | None = None
    clipscore_model: str | None = None

    def checkpoint(self, point: PlannedPoint) -> Path:
        """Return the folder of a point's model."""
        return self.out / "checkpoints" / point.folder

    def results(self, point: PlannedPoint) -> Path:
        """Return the folder of a point's results."""
        return self.out / "results" / point.folder

    def made(self, point: PlannedPoint) -> Provenance | None:
        """Return how the model of a point was made, None where it is not finished."""
        made = read_provenance(self.checkpoint(point))
        return made if made is not None and made.recipe_fingerprint == point.recipe.fingerprint() else None

    def result(self, point: PlannedPoint, task: Task, made: Provenance) -> Path | None:
        """Return the result of a model that was so made, on the whole of a task; None where there is none."""
        for path in sorted(self.results(point).glob("*.json")):
            result = read_result(path)
            measured, ranks = result.task, path.parent / result.ranks.name
            whole = not measured.partial and measured.limit is None and ranks.is_file()
            same = (measured.name, measured.version) == (task.name, task.version)
            judge = None if result.judge is None else result.judge.spec
            alike = judge == (self.clipscore_model and describe(self.clipscore_model))
            if whole and same and alike and result.retriever.training == made:
                return path
        return None

    def is_done(self, point: PlannedPoint, tasks: tuple[Task, ...]) -> bool:
        """Say whether a point is trained, and measured on all tasks."""
        made = self.made(point)
        return made is not None and all(self.result(point, task, made) for task in tasks)


def parse_axis(text: str) -> tuple[str, tuple[object, ...]]:
    """Return the key and the values of `alpha=0,0.5,1`; values are read as TOML, what is none as strings.

    Raises `UserError` for anything else.
    """
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not all(value.strip() for value in values.split(",")):
        raise UserError(f"--over {text!r}: write KEY=VALUE,VALUE, as in --over alpha=0,0.5,1")
    try:
        found = tuple(tomllib.loads(f"values = [{values}]")["values"])
    except tomllib.TOMLDecodeError:
        found = tuple(parse_value(value.strip()) for value in values.split(","))
    return key.strip(), found


def plan_sweep(
    spec: str,
    over: Sequence[tuple[str, Sequence[object]]],
    *,
    settings: Mapping[str, object],
    seeds: int,
    base: Mapping[str, object],
) -> Plan:
    """Return what a sweep of the recipe `spec` trains, with `settings` changed in all arms.

    `base` picks the base arm by the values of keys, the first value of each other. Raises `InvalidRecipe` with the
    faults of all arms at once, and `UserError` for keys and values that make no grid.
    """
    model = model_of(spec)
    changes = _by_path([*settings.items()], "--set", model)
    axes = _axes(over, changes, model)
    size = seeds
    for axis in axes:
        size *= len(axis.values)
    if size > MOST_POINTS:
        raise UserError(f"{size:,} points are too many: a sweep has at most {MOST_POINTS:,}")
    arms = tuple(_arms(axes))
    recipes = _recipes(spec, axes, arms, changes)
    _check_distinct(arms, recipes)
    points = [
        PlannedPoint(arm.name, seeded, f"{_slug(arm.name)}.seed-{seed}.{seeded.fingerprint()[:8]}")
        for seed in range(seeds)
        for arm, recipe in zip(arms, recipes, strict=True)
        for seeded in [_with_seed(recipe, seed)]
    ]
    return Plan(
        recipe=recipes[0],
        settings={key: cast(JsonValue, value) for key, value in changes.items()},
        axes=axes,
        arms=arms,
        seeds=tuple(range(seeds)),
        base=_base(axes, arms, _by_path([*base.items()], "--base", model)),
        points=tuple(points),
    )


def written(value: JsonValue) -> str:
    """Return a value as people write it: `0.5`, `mono`, `["ar", "en"]`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _by_path(pairs: Sequence[tuple[str, object]], option: str, model: str | None) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        path = ".".join(key_path(key, model))
        if path in _TAKEN:
            raise UserError(f"{option} {key}: {_TAKEN[path]}")
        if path in found:
            raise UserError(f"{option} {key} is there twice: give each key once")
        found[path] = value
    return found


def _axes(
    over: Sequence[tuple[str, Sequence[object]]], changes: Mapping[str, object], model: str | None
) -> tuple[SweepAxis, ...]:
    if not over:
        raise UserError("a sweep needs --over KEY=VALUE,VALUE, as in --over alpha=0,0.5,1")
    values = _by_path(over, "--over", model)
    for path in values.keys() & changes.keys():
        raise UserError(f"{path} is swept and set: leave out --set {path}")
    last = [path.split(".")[-1] for path in values]
    axes = []
    for path, given in values.items():
        short = path.split(".")[-1]
        # A language alone would not say what of it is meant.
        name = short if last.count(short) == 1 and (path.split(".")[0],) != IMAGE_SHARE else path
        axes.append(SweepAxis(name=name, key=path, values=tuple(cast(Sequence[JsonValue], given))))
    return tuple(axes)


def _arms(axes: Sequence[SweepAxis]) -> Iterator[Arm]:
    for values in product(*(axis.values for axis in axes)):
        named = [f"{axis.name.replace('_', ' ')} {written(value)}" for axis, value in zip(axes, values, strict=True)]
        yield Arm(name=", ".join(named), values={axis.name: value for axis, value in zip(axes, values, strict=True)})


def _recipes(spec: str, axes: Sequence[SweepAxis], arms: Sequence[Arm], changes: Mapping[str, object]) -> list[Recipe]:
    recipes: list[Recipe] = []
    faults: dict[str, None] = {}
    for arm in arms:
        swept = {axis.key: arm.values[axis.name] for axis in axes}
        try:
            recipes.append(load_recipe(spec, {**changes, **swept}))
        except InvalidRecipe as error:
            faults |= dict.fromkeys(error.faults)
    if faults:
        raise InvalidRecipe(spec, list(faults))
    return recipes


def _check_distinct(arms: Sequence[Arm], recipes: Sequence[Recipe]) -> None:
    seen: dict[str, str] = {}
    for arm, recipe in zip(arms, recipes, strict=True):
        twin = seen.setdefault(recipe.fingerprint(), arm.name)
        if twin != arm.name or sum(each.name == arm.name for each in arms) > 1:
            raise UserError(f"{twin} and {arm.name} are the same recipe: give each value once")


def _base(axes: Sequence[SweepAxis], arms: Sequence[Arm], wanted: Mapping[str, object]) -> str:
    by_key = {axis.key: axis for axis in axes}
    for key, value in wanted.items():
        if key not in by_key:
            raise UserError(f"--base {key}: only what is swept tells arms apart: {', '.join(by_key)}")
        if value not in by_key[key].values:
            known = ", ".join(map(written, by_key[key].values))
            raise UserError(f"--base {by_key[key].name}={written(cast(JsonValue, value))} is no arm: known are {known}")
    values = {axis.name: wanted.get(axis.key, axis.values[0]) for axis in axes}
    return next(arm.name for arm in arms if arm.values == values)


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"seed": seed})


def _slug(name: str) -> str:
    """Return the name of an arm as that of a file, different ones for different arms of a sweep."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", name.replace(", ", ".")).strip("-.")
    return slug if len(slug) <= _LONGEST_NAME else f"{slug[:_LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"
