"""Summaries of a measure of many languages: by groups of languages, and the best and the worst of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlbench.collection.language_info import GROUPINGS, LEVELS, UNKNOWN, Grouping, LanguageInfo, language_info
from mlbench.reports.colours import ColourScale
from mlbench.reports.formatting import decimal
from mlbench.reports.grid import POOL, Grid, mean
from mlbench.reports.report import (
    Block,
    Bullets,
    Cell,
    Column,
    HeatCell,
    HeatColumn,
    HeatMap,
    HeatRow,
    Row,
    Section,
    Sentence,
    Table,
)

GROUPING_NAMES: dict[Grouping, str] = {"resources": "level of resources", "script": "script", "family": "family"}
# What the columns of the tables mean, and where the groups come from.
_SOURCES = (
    "within: pairs of two languages of the group",
    "between: pairs of one of them and one of another group",
    "resources: words of web text in FineWeb-2, high from 1,000 million on, low below 10 million",
    "families: Glottolog 5.1",
    "scripts and names: CLDR",
)
# How many rows each grouping has at most in a summary.
_MOST_GROUPS: dict[Grouping, int] = {"resources": len(LEVELS) + 1, "script": 3, "family": 4}
_MOST = 3
Write = Callable[[float | None], str]


@dataclass(frozen=True, slots=True)
class GroupMeans:
    """Means of a measure over the pairs of different languages of which one or both are in a group.

    `within` is over pairs of two languages of the group, `between` over those of one of them and one of another group,
    in either role. `monolingual` is over its languages with themselves, and `pool` over its query languages. None
    where there is no such value.
    """

    name: str
    n_languages: int
    as_query: float | None
    as_document: float | None
    within: float | None
    between: float | None
    monolingual: float | None
    pool: float | None


def groups_of(languages: Sequence[LanguageInfo], grouping: Grouping) -> dict[str, list[int]]:
    """Return the places of the languages of each group: levels from high to low, other groups by their size."""
    found: dict[str, list[int]] = {}
    for place, language in enumerate(languages):
        found.setdefault(language.group(grouping), []).append(place)
    by_size = sorted(found, key=lambda name: (-len(found[name]), name))
    order = (*LEVELS, UNKNOWN) if grouping == "resources" else by_size
    return {name: found[name] for name in order if name in found}


def group_means(grid: Grid, name: str, places: Sequence[int]) -> GroupMeans:
    """Return the means of the languages in some `places` of a grid."""
    pairs = grid.matrix.copy()
    np.fill_diagonal(pairs, np.nan)
    inside = np.zeros(len(grid.languages), dtype=bool)
    inside[list(places)] = True
    pool = [value for place in places if (value := grid.pool.get(grid.languages[place])) is not None]
    return GroupMeans(
        name,
        len(places),
        as_query=_mean(pairs[inside]),
        as_document=_mean(pairs[:, inside]),
        within=_mean(pairs[np.ix_(inside, inside)]),
        between=_mean(pairs[inside[:, None] != inside[None, :]]),
        monolingual=_mean(np.diagonal(grid.matrix)[inside]),
        pool=mean(pool),
    )


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def all_groups(grid: Grid, scale: ColourScale, write: Write = decimal, *, named: str) -> Section:
    """Return a section to unfold with a table and a heat map of the groups of each grouping.

    `named` is what the values are, and `scale` gives their colours.
    """
    languages = [language_info(tag) for tag in grid.languages]
    blocks: list[Block] = []
    for grouping in GROUPINGS:
        found = groups_of(languages, grouping)
        title = f"{named} by {GROUPING_NAMES[grouping]}"
        rows = [group_means(grid, name, places) for name, places in found.items()]
        blocks += [
            _table(title, GROUPING_NAMES[grouping], rows, write),
            _map_of_groups(grid, found, title, scale, write),
        ]
    return Section((f"{named} by all groups",), (*blocks, Sentence(_SOURCES, "; ", "soft")), "folded")


def _map_of_groups(
    grid: Grid, found: Mapping[str, Sequence[int]], title: str, scale: ColourScale, write: Write
) -> HeatMap:
    """Return the means by group of the query and of the documents; groups of a single language share one."""
    groups = {name: list(places) for name, places in found.items() if len(places) > 1}
    alone = {name: list(places) for name, places in found.items() if len(places) == 1}
    if len(alone) > 1:
        alone = {f"{len(alone)} others": [place for places in alone.values() for place in places]}
    groups |= alone
    pairs = grid.matrix.copy()
    np.fill_diagonal(pairs, np.nan)
    rows = []
    for query, asking in groups.items():
        values = [_mean(pairs[np.ix_(asking, places)]) for places in groups.values()]
        cells = (
            HeatCell(write(value), value, f"{query} queries, {name} documents: {write(value)}")
            for name, value in zip(groups, values, strict=True)
        )
        rows.append(HeatRow(query, tuple(cells)))
    return HeatMap(
        f"{title} of the query (rows) and of the documents (columns)",
        ("queries", "documents"),
        tuple(map(HeatColumn, groups)),
        tuple(rows),
        {"": scale},
        f"Heat map of {title}: means over pairs of different languages",
        reason="the heat map of groups needs a wider terminal",
        as_table=True,
    )


def summary_of_groups(grid: Grid, write: Write = decimal, *, named: str) -> Table:
    """Return one table of the levels of resources, and of the largest scripts and families."""
    languages = [language_info(tag) for tag in grid.languages]
    rows = []
    for grouping in GROUPINGS:
        found = list(groups_of(languages, grouping).items())
        most = _MOST_GROUPS[grouping]
        shown = found if len(found) <= most else found[: most - 1]
        rest = [place for _, places in found[len(shown) :] for place in places]
        rows += [group_means(grid, _spoken(name, grouping), places) for name, places in shown]
        if rest:
            plural = "scripts" if grouping == "script" else "families"
            others = group_means(grid, f"{len(found) - len(shown)} other {plural}", sorted(rest))
            # Two languages of the rest may well be of two groups.
            rows.append(replace(others, within=None))
    return _table(f"{named} by groups of languages", f"{named} by group", rows, write)


def _spoken(name: str, grouping: Grouping) -> str:
    return {"resources": f"{name} resources", "script": f"{name} script"}.get(grouping, name)


def _table(title: str, first: str, found: Sequence[GroupMeans], write: Write) -> Table:
    columns = {
        "as query": [each.as_query for each in found],
        "as document": [each.as_document for each in found],
        "within": [each.within for each in found],
        "between": [each.between for each in found],
        "monolingual": [each.monolingual for each in found],
        POOL: [each.pool for each in found],
    }
    shown = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return Table(
        title,
        first,
        (
            Column("languages"),
            *(Column(name, unnamed=name == "monolingual", urgency=int(name == "monolingual")) for name in shown),
        ),
        tuple(
            Row(
                Cell(each.name),
                (Cell(f"{each.n_languages:,}"), *(Cell(write(values[place])) for values in shown.values())),
            )
            for place, each in enumerate(found)
        ),
    )


def best_and_worst(
    grid: Grid, write: Write = decimal, *, ends: tuple[str, str] = ("best", "worst"), names: bool = True
) -> Bullets:
    """Return the languages and the pairs of languages at both ends, which are called by `ends`.

    Languages are ordered by their means over the other languages, and told by `names` or by their tags alone. One
    without a value is at neither end.
    """
    named = _named if names else str
    as_query = {named(tag): value for tag in grid.languages if (value := grid.row_mean(tag)) is not None}
    as_document = {named(tag): value for tag in grid.languages if (value := grid.column_mean(tag)) is not None}
    pairs = {f"{a} → {b}": value for (a, b), value in grid.cells.items() if a != b}
    items = []
    for title, values in (("as query", as_query), ("as document", as_document), ("pairs", pairs)):
        ordered = sorted(values, key=values.__getitem__)
        for end, shown in zip(ends, (ordered[::-1][:_MOST], ordered[:_MOST]), strict=True):
            told = [f"{name} {write(values[name])}" for name in shown]
            items += [Sentence((f"{end} {title}: {told[0]}", *told[1:]))] if told else []
    return Bullets(tuple(items))


def _named(tag: str) -> str:
    name = language_info(tag).name
    return tag if name == tag else f"{name} ({tag})"
