"""The document of a sweep: arms of one recipe, several training seeds each, measured and compared on some tasks."""

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from mlbench.errors import InvalidResult
from mlbench.languages import Kind
from mlbench.paired import LOWER_IS_BETTER, Line
from mlbench.results import Bounds, Statistics
from mlbench.strict_json import parse

SCHEMA_VERSION = 1

BIAS_SCORES = ("rank_distance", "rank_distance_median", "own_language_preference", "max_rank_norm")
"""The bias scores of a sweep, in the order of its tables."""

BIAS_SCORES_OF_IMAGES = (*BIAS_SCORES, "rank_spread")
"""The same where captions describe images."""

ALIGNMENT = ("clip_score", "ref_clip_score")
"""Scores of captions that say how near they are to their images in a model's own space, on a scale of its own."""

NO_PREFERENCE = 0.5
"""The best own_language_preference: a document is not preferred for its language."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Axis(_Part):
    """A key of the recipe and the values it takes; `name` is the key as short as it is clear."""

    name: str
    key: str
    values: tuple[JsonValue, ...]


class Arm(_Part):
    """One value of every axis.

    `confounded` says in what, beside what is swept, the arm differs from the base arm: data, rows, views or updates.
    What is found of such an arm need not come from the languages of its batches.
    """

    name: str
    values: dict[str, JsonValue]
    confounded: tuple[str, ...] = ()


class Point(_Part):
    """An arm trained with one seed; `checkpoint` and `results` (by task) are paths beside the document.

    `rows_digest` is that of the rows and views drawn, None where the checkpoint does not say.
    """

    arm: str
    seed: int
    recipe_fingerprint: str
    model_fingerprint: str
    steps: int
    rows_digest: str | None
    checkpoint: str
    results: dict[str, str]


class Figure(_Part):
    """A macro mean of a measure over a kind of settings, or without a kind a bias score or one of captions.

    With a `language` it is that of the captions in it alone, beside images. `values` are those of the seeds, `mean`
    their mean. The interval is that of the mean: topics are averaged over seeds and resampled in clusters; null for
    medians, which are not means over topics.
    """

    name: str
    kind: Kind | None
    mean: float | None
    interval: Bounds | None
    values: tuple[float | None, ...]
    language: str | None = None

    @property
    def spread(self) -> Bounds | None:
        """The lowest and the highest value of a seed; None where one is missing, or there is a single seed."""
        known = [value for value in self.values if value is not None]
        return Bounds(low=min(known), high=max(known)) if len(known) == len(self.values) > 1 else None


class Row(_Part):
    """The figures of one arm."""

    arm: str
    figures: tuple[Figure, ...]

    def figure(self, name: str, kind: Kind | None = None, language: str | None = None) -> Figure | None:
        """Return one figure, or None where the task has none such."""
        wanted = (name, kind, language)
        return next((each for each in self.figures if (each.name, each.kind, each.language) == wanted), None)


class Pair(_Part):
    """All figures of one arm against another: `lines` as `mlbench.paired` makes them, adjusted within the pair."""

    base: str
    candidate: str
    lines: tuple[Line, ...]

    def line(self, name: str, kind: Kind | None = None, language: str | None = None) -> Line | None:
        """Return the line of one figure, or None where there is none such."""
        wanted = (name, kind, language)
        return next((each for each in self.lines if (each.name, each.kind, each.language) == wanted), None)


class Claim(_Part):
    """Which arm is best in one figure, and which comes second.

    `p` is two-sided and adjusted, null where nothing is tested. `separable` says whether the difference of the two is
    more than topics explain: by the test, else by the interval; null without either.
    """

    name: str
    kind: Kind | None
    best: str
    second: str
    difference: float
    interval: Bounds | None
    p: float | None
    separable: bool | None


class TaskSweep(_Part):
    """All arms on one task; `pairs` begins with those against the base arm."""

    name: str
    version: str
    fingerprint: str
    primary_measure: str
    n_topics: int
    statistics: Statistics
    flips: int
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    claims: tuple[Claim, ...]

    def row(self, arm: str) -> Row:
        """Return the figures of an arm."""
        return next(row for row in self.rows if row.arm == arm)

    def claim(self, name: str, kind: Kind | None = None) -> Claim | None:
        """Return which arm is best in one figure, or None where there are no two arms with a value."""
        return next((each for each in self.claims if (each.name, each.kind) == (name, kind)), None)


class Sweep(_Part):
    """Everything that a sweep found; the same points give the same document, to the byte."""

    schema_version: Literal[1] = 1
    mlbench: str
    recipe: str
    title: str
    settings: dict[str, JsonValue]
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...] = Field(min_length=1)
    base: str
    arms: tuple[Arm, ...] = Field(min_length=1)
    points: tuple[Point, ...]
    tasks: tuple[TaskSweep, ...]

    def arm(self, name: str) -> Arm:
        """Return the arm called `name`."""
        return next(arm for arm in self.arms if arm.name == name)


def loss(name: str, value: float) -> float:
    """Return how far a value of a measure or bias score is from the best there is, up to a constant."""
    if name == "own_language_preference":
        return abs(value - NO_PREFERENCE)
    return value if name in LOWER_IS_BETTER or name.startswith("rank_") else -value


def is_separable(line: Line, level: float = 0.05) -> bool | None:
    """Say whether a difference is more than topics explain; None where neither a test nor an interval tells."""
    if line.adjusted is not None:
        return line.adjusted.two_sided < level
    return None if line.interval is None else not line.interval.low <= 0 <= line.interval.high


def to_json(sweep: Sweep) -> str:
    """Return the document as JSON with sorted keys, ending in a newline."""
    return json.dumps(sweep.model_dump(mode="json"), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def from_json(content: bytes) -> Sweep:
    """Return the document in `content`; raises `InvalidResult` in one line for anything else."""
    try:
        return Sweep.model_validate(parse(content))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "document"
        raise InvalidResult(f"this is no document of a sweep: {place}: {first['msg']}") from error
    except ValueError as error:
        raise InvalidResult(f"this is not JSON that can be used: {error}") from error
