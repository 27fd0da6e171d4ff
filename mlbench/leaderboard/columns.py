"""The columns that entries are shown and ranked in: a measure over settings of one kind, or a bias score."""

from dataclasses import dataclass

from mlbench.collection.languages import IMAGE_KINDS, TEXT_KINDS, Kind
from mlbench.leaderboard.entries import ReportedTask
from mlbench.measures.bias import TESTED_BIAS_SCORES, find_score
from mlbench.reports.formatting import decimal, heading
from mlbench.results import Bounds, Result
from mlbench.statistics.captions import CAPTION_LIMITS
from mlbench.statistics.direction import constant_ideal, direction_of, loss
from mlbench.statistics.settings import limits_of

MEASURES = ("AP", "R@1", "R@10", "RR")
"""The measures that the site shows of tasks of texts; others are in the result documents."""
GRADED_MEASURES = ("nDCG@10", "R@100")
"""Those of tasks that have none of these, such as MIRACL."""
IMAGE_MEASURES = ("Success@1", "Success@5", "Success@10")
"""Those of tasks with images."""
CAPTION_SCORE = "r_mean"
"""The score of captioned images that entries are ranked by; cosines of another model are no ground for that."""


@dataclass(frozen=True, slots=True)
class BoardColumn:
    """A measure over the settings of one kind, or a bias score, which has no kind."""

    name: str
    kind: Kind | None = None

    @property
    def key(self) -> str:
        """How addresses name the column, such as `AP.multilingual` or `rank_distance`."""
        return f"{self.name}.{self.kind}" if self.kind else self.name

    @property
    def better(self) -> str | float:
        """Which numbers are better: those that are `higher` or `lower`, or those that are nearer to this one."""
        target = constant_ideal(self.name) if direction_of(self.name) == "nearer" else None
        return target if target is not None else direction_of(self.name) or ""

    @property
    def note(self) -> str:
        """What a reader must be told of the direction; nothing where higher is better."""
        if isinstance(self.better, float):
            return f"best at {decimal(self.better)}"
        return "lower is better" if self.better == "lower" else ""

    @property
    def limits(self) -> tuple[float, float]:
        """Between what its numbers lie; the upper end may be infinite."""
        if self.kind:
            low, high = limits_of([self.name])
            return float(low[0]), float(high[0])
        if self.name in CAPTION_LIMITS:
            least, most = CAPTION_LIMITS[self.name]
            return float(least), float(most)
        return find_score(self.name).limits

    def loss(self, value: float) -> float:
        """Return how far a number is from the best, up to a constant; infinite where nothing says."""
        found = loss(self.name, value)
        return float("inf") if found is None else found


TEXT_COLUMNS = tuple(BoardColumn(measure, kind) for measure in (*MEASURES, *GRADED_MEASURES) for kind in TEXT_KINDS)
"""The columns that only tasks of texts have."""
IMAGE_COLUMNS = (
    *(BoardColumn(measure, kind) for measure in IMAGE_MEASURES for kind in IMAGE_KINDS),
    BoardColumn(CAPTION_SCORE),
)
"""The columns that only tasks with images have."""
COLUMNS = (
    *TEXT_COLUMNS,
    *IMAGE_COLUMNS,
    *(BoardColumn(score) for score in TESTED_BIAS_SCORES),
)
"""All columns in the order of the site."""
FIRST = BoardColumn("AP", "multilingual")
"""The column that entries are sorted by before anybody asks for another."""


@dataclass(frozen=True, slots=True)
class BoardNumber:
    """A value and its interval, where it has one."""

    value: float
    bounds: Bounds | None = None


def measured(result: Result, column: BoardColumn) -> BoardNumber | None:
    """Return a result's number for a column, or None where it has none."""
    if column.kind is not None and column.name not in (*measures_of(result), result.task.primary_measure):
        return None
    value, bounds = result.figure(column.name, column.kind)
    return None if value is None else BoardNumber(value, bounds)


def reported(task: ReportedTask, column: BoardColumn) -> BoardNumber | None:
    """Return the number that a source reports for a column, or None where it reports none."""
    wanted = (column.name, column.kind, None)
    found = (each.value for each in task.values if (each.name, each.kind, each.query_language) == wanted)
    value = next(found, None)
    return None if value is None else BoardNumber(value)


def measures_of(result: Result) -> list[str]:
    """Return the measures that the site shows of a result, in their order."""
    sets = (MEASURES, GRADED_MEASURES) if result.image_text is None else (IMAGE_MEASURES,)
    found = ([measure for measure in shown if measure in result.task.measures] for shown in sets)
    return next(filter(None, found), [])


def title(measure: str) -> str:
    """Return how the mean of a measure over queries is called: mAP, MRR, R@1."""
    return {"RR": "MRR"}.get(measure, heading(measure))
