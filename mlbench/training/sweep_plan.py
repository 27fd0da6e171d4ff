"""What a sweep trains: every combination of the values of some keys, with every seed; and where its files lie."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import combinations, product
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from mlbench.compare.sweep import RATIOS, Arm, SweepAxis, written
from mlbench.errors import InvalidRecipe, UserError
from mlbench.open_model import describe
from mlbench.protocols import Runtime
from mlbench.provenance import Provenance, read_provenance
from mlbench.results import Result, read_result
from mlbench.tasks.task import Task
from mlbench.training.manifest import is_prefix_of_longer
from mlbench.training.recipe import (
    IMAGE_SHARE,
    Recipe,
    key_path,
    load_recipe,
    model_of,
    parse_value,
    table_or_key_path,
)
from mlbench.training.recipe_tables import ratio_keys

MOST_POINTS = 10_000
_LONGEST_NAME = 80
_TRIANGLE = re.compile(r"triangle:([1-9]\d?)")
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


def compared_pairs(plan: Plan) -> set[tuple[str, str]] | None:
    """Return which arms are compared, names in alphabetical order; None where all are.

    Over numbers of steps, these are arms that differ in one key, and those with as many cross-lingual batches.
    """
    if all(axis.key != "steps" for axis in plan.axes):
        return None
    recipes = {point.arm: point.recipe for point in plan.points}
    found = set()
    for one, other in combinations(plan.arms, 2):
        differing = sum(value != other.values[key] for key, value in one.values.items())
        crossing = [_cross_lingual_batches(recipes[arm.name]) for arm in (one, other)]
        if differing == 1 or crossing[0] == crossing[1] > 0:
            found.add((min(one.name, other.name), max(one.name, other.name)))
    return found


def _cross_lingual_batches(recipe: Recipe) -> float:
    """Return how many cross-lingual batches a training of texts draws on average; 0 for images."""
    return (
        0.0
        if recipe.image_text
        else recipe.steps * recipe.batches.shares(of_images=False)[recipe.batches.cross_lingual]
    )


@dataclass(frozen=True)
class Chain:
    """Points of which each training goes on from the one before, which has fewer steps; most are of a single point."""

    points: tuple[PlannedPoint, ...]

    def __str__(self) -> str:
        return " and ".join(map(str, self.points))


def chains(points: Sequence[PlannedPoint]) -> list[Chain]:
    """Return the points in chains, in the order of their first points."""
    found: dict[str, list[PlannedPoint]] = {}
    for point in points:
        recipe = point.recipe
        key = _without_steps(recipe) if is_prefix_of_longer(recipe) else recipe.fingerprint()
        found.setdefault(key, []).append(point)
    return [Chain(tuple(sorted(group, key=lambda point: point.recipe.steps))) for group in found.values()]


def _without_steps(recipe: Recipe) -> str:
    return recipe.model_copy(update={"steps": 1}).fingerprint()


@dataclass(frozen=True, kw_only=True)
class SweepFolder:
    """Where a sweep works and with what: `tasks` are names, files or folders, `out` the folder of all its files.

    `model_settings` say how a checkpoint is opened to be measured, `clipscore_model` is the judge of CLIPScores.
    `command` is what the user typed, for the manifests and results.
    """

    tasks: tuple[str, ...]
    out: Path
    data_dir: Path | None = None
    model_settings: Mapping[str, str] = field(default_factory=dict)
    runtime: Runtime = field(default_factory=Runtime)
    command: str | None = None
    clipscore_model: str | None = None

    def checkpoint(self, point: PlannedPoint) -> Path:
        """Return the folder of a point's model."""
        return self.out / "checkpoints" / point.folder

    def shared_work(self, point: PlannedPoint) -> Path:
        """Return where points keep their state that differ from this one in nothing but their steps."""
        return self.out.absolute() / "checkpoints" / f".training-{_without_steps(point.recipe)[:16]}"

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
            same = (measured.name, measured.version) == (task.name, task.version) and self._is_measured_alike(result)
            if whole and same and result.retriever.training == made:
                return path
        return None

    def _is_measured_alike(self, result: Result) -> bool:
        judge = None if result.judge is None else result.judge.spec
        if judge != (self.clipscore_model and describe(self.clipscore_model)):
            return False
        opened = result.retriever.parameters
        return all(key not in opened or str(opened[key]) == value for key, value in self.model_settings.items())

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
    found = parse_value(f"[{values}]")
    if not isinstance(found, list):
        found = [parse_value(value.strip()) for value in values.split(",")]
    return key.strip(), tuple(found)


def plan_sweep(
    spec: str,
    over: Sequence[tuple[str, Sequence[object]]],
    *,
    settings: Mapping[str, object],
    seeds: int,
    base: Mapping[str, object],
) -> Plan:
    """Return what a sweep of the recipe `spec` trains, with `settings` changed in all arms as `load_recipe` does.

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
        base=_base(axes, arms, _by_path([*base.items()], "--base", model), model),
        points=tuple(points),
    )


def _by_path(pairs: Sequence[tuple[str, object]], option: str, model: str | None) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        path = ".".join((key_path if value is not None else table_or_key_path)(key, model))
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
        option = "--set" if changes[path] is not None else "--unset"
        raise UserError(f"{path} is swept and set: leave out {option} {path}")
    last = [path.split(".")[-1] for path in values]
    axes = []
    for path, given in values.items():
        taken = cast(Sequence[JsonValue], given)
        short = path.split(".")[-1]
        # A language alone would not say what of it is meant.
        name = short if last.count(short) == 1 and (path.split(".")[0],) != IMAGE_SHARE else path
        axes.append(SweepAxis(name=name, key=path, values=tuple(_ratios(taken, model) if path == RATIOS else taken)))
    return tuple(axes)


def _ratios(given: Sequence[JsonValue], model: str | None) -> list[JsonValue]:
    """Return the shares of every kind of batches that the model has, for `triangle:N` those with step 1/N.

    What are no shares is left to the recipe, which says why.
    """
    kinds = ratio_keys(of_images=model == "image_text")
    found: list[JsonValue] = []
    for value in given:
        match = _TRIANGLE.fullmatch(value) if isinstance(value, str) else None
        if match:
            found += [dict(zip(kinds, shares, strict=True)) for shares in triangle(int(match[1]))]
        elif isinstance(value, str):
            raise UserError(f"ratios={value}: write triangle:N, N from 1 to 99, or shares, as in ratios={{mono=1}}")
        else:
            found.append(_complete(value, kinds))
    return found


def triangle(steps: int) -> Iterator[tuple[float, float, float]]:
    """Yield all (steps + 1)(steps + 2)/2 triples of multiples of 1/steps that sum to 1, larger first shares first."""
    for first in range(steps, -1, -1):
        for second in range(steps - first, -1, -1):
            yield first / steps, second / steps, (steps - first - second) / steps


def _complete(value: JsonValue, kinds: Sequence[str]) -> JsonValue:
    """Return shares of kinds of batches as numbers, those of kinds that are left out too."""
    if not isinstance(value, dict):
        return value
    shares = {kind: value.get(kind, 0) for kind in [*kinds, *(kind for kind in value if kind not in kinds)]}
    return {kind: float(share) if isinstance(share, int) else share for kind, share in shares.items()}


def _arms(axes: Sequence[SweepAxis]) -> Iterator[Arm]:
    for values in product(*(axis.values for axis in axes)):
        named = [_named(axis, value) for axis, value in zip(axes, values, strict=True)]
        yield Arm(name=", ".join(named), values={axis.name: value for axis, value in zip(axes, values, strict=True)})


def _named(axis: SweepAxis, value: JsonValue) -> str:
    # Shares name their kinds.
    return written(value) if axis.key == RATIOS else f"{axis.name.replace('_', ' ')} {written(value)}"


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


def _base(axes: Sequence[SweepAxis], arms: Sequence[Arm], wanted: Mapping[str, object], model: str | None) -> str:
    by_key = {axis.key: axis for axis in axes}
    for key in wanted:
        if key not in by_key:
            raise UserError(f"--base {key}: only what is swept tells arms apart: {', '.join(by_key)}")
    values = {axis.name: _chosen(axis, cast(JsonValue, wanted.get(axis.key, axis.values[0])), model) for axis in axes}
    return next(arm.name for arm in arms if arm.values == values)


def _chosen(axis: SweepAxis, wanted: JsonValue, model: str | None) -> JsonValue:
    """Return the value of an axis that is equal to what is wanted, or else written like it, as thirds are."""
    if axis.key == RATIOS:
        wanted = _complete(wanted, ratio_keys(of_images=model == "image_text"))
    text = written(wanted)
    found = [value for value in axis.values if value == wanted] or [v for v in axis.values if written(v) == text]
    if not found:
        known = ", ".join(map(written, axis.values))
        raise UserError(f"--base {axis.name}={text} is no arm: known are {known}")
    return found[0]


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return recipe.model_copy(update={"seed": seed})


def _slug(name: str) -> str:
    """Return the name of an arm as that of a file, different ones for different arms of a sweep."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", name.replace(", ", ".")).strip("-.")
    return slug if len(slug) <= _LONGEST_NAME else f"{slug[:_LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"
