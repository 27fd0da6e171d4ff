"""How well the captions of each language and their images find each other, as a table with colours."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from mlbench.collection.languages import Kind
from mlbench.measures.ranked import parse
from mlbench.reports.colours import ColourScale
from mlbench.reports.formatting import ABSENT, count, decimal, heading, interval, spoken
from mlbench.reports.grid import MEAN, mean, shown_measure
from mlbench.reports.report import HeatCell, HeatColumn, HeatMap, HeatRow
from mlbench.results import Aggregate, Bounds, ImageText, Result, SettingResult
from mlbench.statistics.captions import CAPTION_SCORES

BEST, WORST = "+", "-"
"""The marks of the best and the worst language of a column, where there is no type to set them in."""
HIT_RATES = ("Success@1", "Success@5", "Success@10")
"""The measures of the table unless another one is asked for."""
CHANCE = "chance"
"""What stands before the hit rates of a random order."""
_FAMILY, _RECALL = "Success", "R"
_DIRECTIONS: tuple[Kind, ...] = ("text_to_image", "image_to_text")


def caption_map(result: Result, measure: str | None = None) -> HeatMap | None:
    """Return a row for each language of captions, and their mean; None for a result without images.

    Columns are `measure`, by default the hit rates, in both directions, then what belongs to neither of them. Raises
    `UnknownName` for a measure that the result does not have.
    """
    if result.image_text is None:
        return None
    primary = shown_measure(result, measure)
    common = tuple(name for name in HIT_RATES if name in result.task.measures)
    shown = (primary,) if measure is not None or primary not in common else common
    found = [each for each in (*_directions(result, shown), *_scores(result.image_text)) if each.known]
    names = ", ".join(map(heading, shown)) if len(shown) < len(HIT_RATES) else "hit rates"
    title = f"{names} by language of the captions"
    rows, by_chance = (*result.task.languages, MEAN), list(_chance_row(result, found))
    return HeatMap(
        title=title,
        axes=("captions", ""),
        columns=tuple(
            HeatColumn(
                each.title,
                each.group,
                each.unit,
                _short(each),
                apart=place > 0 and each.group != found[place - 1].group,
            )
            for place, each in enumerate(found)
        ),
        rows=(
            *(HeatRow(row, tuple(each.cell(row) for each in found), of_means=row == MEAN) for row in rows),
            *by_chance,
        ),
        scales={
            unit: ColourScale.of([value for each in found if each.unit == unit for value in each.known.values()])
            for unit in dict.fromkeys(each.unit for each in found)
        },
        words=title,
        notes=(
            *_notes(found, result.task.languages),
            *_whose_cosines(result, {each.measure for each in found}),
            *([f"{CHANCE}: a random order, in the mean over languages"] if by_chance else []),
        ),
        unit_names={"score": "CLIPScores"},
        as_table=True,
    )


def hit_chance(result: Result, measure: str, kind: Kind) -> float | None:
    """Return what a random order gets in the hit rate or recall `measure`, in the mean over the settings of a kind.

    R@k is k / N of N documents, Success@k is 1 - C(N - m, k) / C(N, k) for m relevant ones, which is k / N for m = 1.
    Documents tell only the mean of m over queries; where it is no whole number, the two next to it are averaged, which
    is exact where images have no other numbers of captions, and slightly too high otherwise. None for other measures,
    and for a result without images.
    """
    parsed = parse(measure)
    if result.image_text is None or parsed.cutoff is None or parsed.family not in (_FAMILY, _RECALL):
        return None
    found = []
    for setting in result.settings:
        relevant = _relevant(result, setting) if setting.kind == kind else None
        if relevant is not None and setting.n_queries:
            cutoff, size = min(parsed.cutoff, setting.n_documents), setting.n_documents
            low = int(relevant)
            share = relevant - low
            hits = (1 - share) * _hit_chance(low, cutoff, size) + (share and share * _hit_chance(low + 1, cutoff, size))
            found.append(cutoff / size if parsed.family == _RECALL else hits)
    return mean(found)


def _hit_chance(relevant: int, cutoff: int, size: int) -> float:
    """Return how likely one of the `relevant` among `size` documents is within the first `cutoff` of a random order."""
    return 1 - prod(max(0, size - relevant - place) / (size - place) for place in range(cutoff))


def _relevant(result: Result, setting: SettingResult) -> float | None:
    """Return how many relevant documents a query has in the mean; None where captions of its languages do not ask.

    In a quick look not all captions of an image ask, so it is known of captions alone.
    """
    if setting.kind == "text_to_image":
        return 1
    if result.task.limit is not None:
        return None
    asking = {each.query_language: each.n_queries for each in result.settings if each.kind == "text_to_image"}
    captions = [asking.get(language, 0) for language in setting.document_languages]
    return sum(captions) / setting.n_queries if all(captions) and setting.n_queries else None


def sizes(result: Result) -> list[str]:
    """Say how many images and captions a result is about; nothing for one without images."""
    if result.image_text is None:
        return []
    images = max((each.n_documents for each in result.settings if each.kind == "text_to_image"), default=0)
    images = images or max((each.n_queries for each in result.settings), default=0)
    return [count(images, "image"), count(result.image_text.mean.n_captions, "caption")]


@dataclass(frozen=True)
class _CaptionColumn:
    """A number and its interval for each language and for `MEAN`."""

    measure: str
    kind: Kind | None
    group: str
    title: str
    unit: str
    values: Mapping[str, float | None]
    bounds: Mapping[str, Bounds | None]

    @property
    def known(self) -> dict[str, float]:
        """The values of languages, as far as there are any."""
        return {row: value for row, value in self.values.items() if row != MEAN and value is not None}

    @property
    def ends(self) -> tuple[str, str]:
        """How the worst and the best value are written; both are empty where all look the same."""
        low, high = decimal(min(self.known.values())), decimal(max(self.known.values()))
        return (low, high) if low != high else ("", "")

    def cell(self, row: str) -> HeatCell:
        value = self.values.get(row)
        text = decimal(value)
        best, worst = row in self.known and text == self.ends[1], row in self.known and text == self.ends[0]
        return HeatCell(
            text=text,
            value=value,
            exact=f"{row} captions, {self.title} {self.group}".rstrip() + f": {decimal(value, 4)}",
            interval=interval(self.bounds.get(row)),
            mark=BEST if best else WORST if worst else "",
            style="strong" if best else "soft" if worst else "plain",
        )


def _directions(result: Result, measures: Sequence[str]) -> Iterator[_CaptionColumn]:
    for kind in _DIRECTIONS:
        every: dict[str, SettingResult | Aggregate] = {
            _language(each): each for each in result.settings if each.kind == kind
        }
        if mean := result.aggregate(kind):
            every[MEAN] = mean
        for name in measures:
            yield _CaptionColumn(
                measure=name,
                kind=kind,
                group=spoken(kind),
                title=heading(name),
                unit="share",
                values={row: each.measures.get(name) for row, each in every.items()},
                bounds={row: each.intervals.get(name) for row, each in every.items()},
            )


def _language(setting: SettingResult) -> str:
    return setting.document_languages[0] if setting.kind == "image_to_text" else setting.query_language


def _scores(found: ImageText) -> Iterator[_CaptionColumn]:
    every = [(each.language or MEAN, each) for each in (*found.languages, found.mean)]
    for name in CAPTION_SCORES:
        yield _CaptionColumn(
            measure=name,
            kind=None,
            group="",
            title=spoken(name),
            unit="share" if name == "r_mean" else "score",
            values={row: getattr(each, name) for row, each in every},
            bounds={row: each.intervals.get(name) for row, each in every},
        )


def _short(column: _CaptionColumn) -> str:
    """Write the title of a column: below the name of its group, a hit rate is told by its cutoff."""
    family, at, cutoff = column.title.partition("@")
    return f"{at}{cutoff}" if column.group and family == _FAMILY else column.title


def _chance_row(result: Result, columns: Sequence[_CaptionColumn]) -> Iterator[HeatRow]:
    """Yield what a random order gets in each column of hit rates, in the mean over languages."""
    chances = [_chance(result, column) for column in columns]
    if any(chance is not None for chance in chances):
        cells = [
            HeatCell(
                text="" if chance is None else decimal(chance),
                value=None,
                exact=f"{CHANCE}, {column.title} {column.group}".rstrip() + f": {decimal(chance, 4)}",
            )
            for chance, column in zip(chances, columns, strict=True)
        ]
        yield HeatRow(CHANCE, tuple(cells), of_means=True)


def _chance(result: Result, column: _CaptionColumn) -> float | None:
    if column.measure == "r_mean":
        hits = [hit_chance(result, name, kind) for name in HIT_RATES for kind in _DIRECTIONS]
        known = [each for each in hits if each is not None]
        return mean(known) if len(known) == len(hits) else None
    return hit_chance(result, column.measure, column.kind) if column.kind else None


def _whose_cosines(result: Result, shown: Collection[str]) -> Iterator[str]:
    if "clip_score" in shown:
        yield "CLIPScore: the model's own cosine"
    if result.judge is not None:
        judge = result.judge.label
        yield f"judged: CLIPScores by {judge} of what is found first, and of the captions and their own images"


def _notes(columns: Sequence[_CaptionColumn], languages: Sequence[str]) -> Iterator[str]:
    if any(any(column.ends) for column in columns):
        yield f"{BEST} or bold: the best language of a column, {WORST} or italics: the worst"
    if not all(column.known.keys() >= set(languages) for column in columns):
        yield f"{ABSENT}: no value"
