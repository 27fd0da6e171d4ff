"""How well the captions of each language and their images find each other, as a table of a result."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlbench.collection.languages import Kind
from mlbench.reports.colours import ColourScale
from mlbench.reports.formatting import ABSENT, count, decimal, heading, interval, spoken
from mlbench.reports.grid import MEAN, shown_measure
from mlbench.reports.report import HeatCell, HeatColumn, HeatMap, HeatRow
from mlbench.results import Bounds, ImageText, Result, SettingResult
from mlbench.statistics.captions import CAPTION_SCORES

BEST, WORST = "+", "-"
"""The marks of the best and the worst language of a column, where there is no type to set them in."""
HIT_RATES = ("Success@1", "Success@5", "Success@10")
"""The measures of the table unless somebody asks for another."""
_FAMILY = "Success"
_DIRECTIONS: tuple[Kind, ...] = ("text_to_image", "image_to_text")


@dataclass(frozen=True)
class CaptionColumn:
    """One number of each language; columns of one `group` stand together, those of one `unit` share a scale."""

    group: str
    title: str
    unit: str
    values: Mapping[str, float]
    mean: float | None
    bounds: Mapping[str, Bounds] = field(default_factory=dict)
    mean_bounds: Bounds | None = None

    @property
    def name(self) -> str:
        """What the column is called by itself: `Success@1 text to image`, `CLIPScore`."""
        return f"{self.title} {self.group}".rstrip()

    def value(self, row: str) -> float | None:
        """Return the value of a language, or of `MEAN`."""
        return self.mean if row == MEAN else self.values.get(row)

    def interval(self, row: str) -> Bounds | None:
        """Return the interval of a language or of `MEAN`, as far as it is known."""
        return self.mean_bounds if row == MEAN else self.bounds.get(row)

    @cached_property
    def ends(self) -> tuple[str, str]:
        """How the worst and the best value are written; both are empty where all look the same."""
        if not self.values:
            return "", ""
        low, high = decimal(min(self.values.values())), decimal(max(self.values.values()))
        return (low, high) if low != high else ("", "")

    def is_best(self, row: str) -> bool:
        """Whether no language looks better."""
        return row in self.values and decimal(self.values[row]) == self.ends[1]

    def is_worst(self, row: str) -> bool:
        """Whether no language looks worse."""
        return row in self.values and decimal(self.values[row]) == self.ends[0]


@dataclass(frozen=True)
class Captions:
    """The table of a result: `measures` in both directions, then what belongs to neither of them."""

    languages: tuple[str, ...]
    measures: tuple[str, ...]
    columns: tuple[CaptionColumn, ...]
    n_captions: Mapping[str, int]

    @property
    def title(self) -> str:
        """What the table shows, in a few words."""
        names = ", ".join(map(heading, self.measures)) if len(self.measures) < len(HIT_RATES) else "hit rates"
        return f"{names} by language of the captions"

    @property
    def rows(self) -> tuple[str, ...]:
        """The languages, then their mean."""
        return (*self.languages, MEAN)

    def scale(self, column: CaptionColumn) -> ColourScale:
        """Return the colours of a column: those of all columns of its unit."""
        alike = [each for each in self.columns if each.unit == column.unit]
        return ColourScale.of([value for each in alike for value in each.values.values()])


def captions(result: Result, measure: str | None = None) -> Captions | None:
    """Gather the table of a result with `measure`, by default the hit rates; None for a result without images.

    Raises `UnknownName` for a measure that the result does not have.
    """
    found = result.image_text
    if found is None:
        return None
    primary = shown_measure(result, measure)
    common = [name for name in HIT_RATES if name in result.task.measures]
    shown = (primary,) if measure is not None or primary not in common else tuple(common)
    columns = [*_directions(result, shown), *_scores(found)]
    return Captions(
        languages=result.task.languages,
        measures=shown,
        columns=tuple(column for column in columns if column.values),
        n_captions={each.language: each.n_captions for each in found.languages if each.language is not None},
    )


def sizes(result: Result) -> list[str]:
    """Say how many images and captions a result is about; nothing for one without images."""
    if result.image_text is None:
        return []
    images = max((each.n_documents for each in result.settings if each.kind == "text_to_image"), default=0)
    images = images or max((each.n_queries for each in result.settings), default=0)
    return [count(images, "image"), count(result.image_text.mean.n_captions, "caption")]


def _directions(result: Result, measures: Sequence[str]) -> Iterator[CaptionColumn]:
    for kind in _DIRECTIONS:
        of_kind = {_language(each): each for each in result.settings if each.kind == kind}
        mean = result.aggregate(kind)
        for name in measures:
            values = {language: each.measures.get(name) for language, each in of_kind.items()}
            bounds = {language: each.intervals.get(name) for language, each in of_kind.items()}
            yield CaptionColumn(
                group=spoken(kind),
                title=heading(name),
                unit="share",
                values={language: value for language, value in values.items() if value is not None},
                mean=mean.measures.get(name) if mean else None,
                bounds={language: each for language, each in bounds.items() if each is not None},
                mean_bounds=mean.intervals.get(name) if mean else None,
            )


def _language(setting: SettingResult) -> str:
    return setting.document_languages[0] if setting.kind == "image_to_text" else setting.query_language


def _scores(found: ImageText) -> Iterator[CaptionColumn]:
    for name in CAPTION_SCORES:
        values = {each.language: getattr(each, name) for each in found.languages}
        bounds = {each.language: each.intervals.get(name) for each in found.languages}
        yield CaptionColumn(
            group="",
            title=spoken(name),
            unit="share" if name == "r_mean" else "score",
            values={language: value for language, value in values.items() if language and value is not None},
            mean=getattr(found.mean, name),
            bounds={language: each for language, each in bounds.items() if language and each is not None},
            mean_bounds=found.mean.intervals.get(name),
        )


def caption_map(shown: Captions) -> HeatMap:
    """Return the table with colours: a row for each language of captions, and their mean."""
    columns = [
        HeatColumn(
            column.title,
            column.group,
            column.unit,
            short=_short(column),
            apart=place > 0 and column.group != shown.columns[place - 1].group,
        )
        for place, column in enumerate(shown.columns)
    ]
    notes = []
    if any(any(column.ends) for column in shown.columns):
        notes.append(f"{BEST} best, {WORST} worst language of a column")
    if not all(column.values.keys() >= set(shown.languages) for column in shown.columns):
        notes.append(f"{ABSENT}: no value")
    return HeatMap(
        title=shown.title,
        axes=("captions", ""),
        columns=tuple(columns),
        rows=tuple(
            HeatRow(row, tuple(_cell(column, row) for column in shown.columns), of_means=row == MEAN)
            for row in shown.rows
        ),
        scales={column.unit: shown.scale(column) for column in shown.columns},
        words=shown.title,
        notes=tuple(notes),
        unit_names={"score": "CLIPScores"},
        as_table=True,
    )


def _cell(column: CaptionColumn, row: str) -> HeatCell:
    value = column.value(row)
    return HeatCell(
        text=decimal(value),
        value=value,
        exact=f"{row} captions, {column.name}: {decimal(value, 4)}",
        interval=interval(column.interval(row)).strip(),
        mark=BEST if column.is_best(row) else WORST if column.is_worst(row) else "",
        style="strong" if column.is_best(row) else "soft" if column.is_worst(row) else "plain",
    )


def _short(column: CaptionColumn) -> str:
    """Write the title of a column: below the name of its group, a hit rate is told by its cutoff."""
    family, at, cutoff = column.title.partition("@")
    return f"{at}{cutoff}" if column.group and family == _FAMILY else column.title
