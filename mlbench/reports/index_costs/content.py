"""Index costs as tables of text, whatever the format: what is shown, and how it is written."""

from collections.abc import Callable
from dataclasses import dataclass

from mlbench.collection.languages import KINDS, Kind
from mlbench.compare.index_costs import Change, IndexCostLine, IndexCosts
from mlbench.reports.formatting import (
    ABSENT,
    SHORT,
    Quantity,
    bounds_text,
    count,
    decimal,
    heading,
    intervals,
    quick_look,
    signed,
)

SCORES = ("own_language_preference", "rank_distance", "max_rank_norm")
"""The bias scores of the first table."""
_MEGA = 1e6
_SMALL = 100


@dataclass(frozen=True)
class IndexCell:
    """A number, and in small letters what limits it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class IndexTable:
    """A table: its title, titles of the columns but the first, and labelled rows; `note` explains it."""

    title: str
    first: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[IndexCell, ...]], ...]
    note: str = ""


def headline(costs: IndexCosts) -> list[str]:
    """Return in a few words each what was compared on what."""
    looked = [quick_look(costs.limit)] if costs.limit else []
    size = f"{count(costs.exact.n_queries, 'query')}, {count(costs.exact.n_documents, 'document')}"
    return [f"{costs.exact.spec} on {costs.task} (version {costs.version})", size, *looked]


def tables(costs: IndexCosts, *, full: bool = True) -> list[IndexTable]:
    """Return the tables; without `full`, those that fit on a screen."""
    made = [speeds(costs), _changes(costs), _languages(costs)]
    return [each for each in [*made, *([_all_lines(costs), _pools(costs)] if full else [])] if each.rows]


def notes(costs: IndexCosts) -> list[str]:
    """Return what a reader must know to read the tables; only the last holds words of a document."""
    exact = costs.exact
    counted = f"{exact.n_queries / exact.rank_seconds:,.0f} queries/s" if exact.rank_seconds else ABSENT
    return [
        "queries/s: one query at a time, one thread, processor time; search alone, without encoding",
        f"exact ranks: {counted} in {exact.rank_seconds:,.1f} s, counted for all pools at once in batches, no "
        "lists of one query: compare speeds with flat",
        "size: of the index as it would be written",
        ", ".join(intervals(costs.statistics)),
    ]


def speeds(costs: IndexCosts) -> IndexTable:
    """Return how fast, how large and how near to exact lists each index is."""
    overlap = [cutoff for cutoff in (10, 20) if any(each.overlap(cutoff) is not None for each in costs.indexes)]
    heads = ["queries/s", "x flat", "build s", "MB", *(f"overlap@{cutoff}" for cutoff in overlap)]
    kinds = [kind for kind in KINDS if any(kind in each.unretrieved for each in costs.indexes)]
    heads += [f"unretrieved {SHORT[kind]}" for kind in kinds]
    rows = []
    for each in costs.indexes:
        speed = each.speed
        cells = [
            _figure(speed.queries_per_second),
            ABSENT if speed.against_flat is None else f"{speed.against_flat:,.1f}",
            _figure(speed.build_seconds),
            _figure(speed.bytes / _MEGA),
            *(decimal(each.overlap(cutoff)) for cutoff in overlap),
            *(decimal(each.unretrieved.get(kind)) for kind in kinds),
        ]
        rows.append((each.name, tuple(map(IndexCell, cells))))
    return IndexTable("Speed and size", "index", tuple(heads), tuple(rows), _largest(costs))


def _changes(costs: IndexCosts) -> IndexTable:
    wanted: list[tuple[str, Kind | None]] = [(costs.primary_measure, kind) for kind in KINDS]
    wanted += [(name, None) for name in SCORES]
    shown = [key for key in wanted if any(each.line(*key) for each in costs.indexes)]
    heads = ["with", *(Quantity(*key).title for key in shown)]
    rows = []
    for each in costs.indexes:
        lines = [each.line(*key) for key in shown]
        rows.append((each.name, (IndexCell("index"), *(_cell(line, lambda line: line.change) for line in lines))))
        rows.append(("", (IndexCell("own"), *(_cell(line, lambda line: line.own) for line in lines))))
    exact = [_first(costs, *key) for key in shown]
    values = [IndexCell(_quantity(line).write(line.exact) if line else ABSENT) for line in exact]
    rows.insert(0, ("exact", (IndexCell(""), *values)))
    return IndexTable(
        "What it changes",
        "index",
        tuple(heads),
        tuple(rows),
        "index: minus whole exact lists; own: minus exact lists of the same length, so the index alone",
    )


def _languages(costs: IndexCosts) -> IndexTable:
    """Return the changes of the primary measure by query language, for the kind of settings with the largest pools."""
    kinds = [kind for kind in reversed(KINDS) if _first(costs, costs.primary_measure, kind)]
    if not kinds:
        return IndexTable("", "", (), ())
    kind = kinds[0]
    rows = []
    for language in costs.languages:
        lines = [each.line(costs.primary_measure, kind, language) for each in costs.indexes]
        first = next((line for line in lines if line), None)
        if first is not None:
            exact = IndexCell(_quantity(first).write(first.exact))
            rows.append((language, (exact, *(_cell(line, lambda line: line.own) for line in lines))))
    title = f"{heading(costs.primary_measure)} {SHORT[kind]} by query language"
    heads = ("exact", *(each.name for each in costs.indexes))
    return IndexTable(title, "language", heads, tuple(rows), "changes: own, the index alone")


def _all_lines(costs: IndexCosts) -> IndexTable:
    keys = [(line.name, line.kind) for each in costs.indexes for line in each.lines if line.query_language is None]
    rows = []
    for key in dict.fromkeys(keys):
        lines = [each.line(*key) for each in costs.indexes]
        first = next(line for line in lines if line)
        exact = IndexCell(_quantity(first).write(first.exact))
        rows.append((_quantity(first).title, (exact, *(_cell(line, _either) for line in lines))))
    heads = ("exact", *(each.name for each in costs.indexes))
    note = "changes from whole exact lists; of what cannot be compared so, from exact lists of the same length"
    return IndexTable("Every measure and bias score", "", heads, tuple(rows), note)


def _pools(costs: IndexCosts) -> IndexTable:
    rows = []
    for each in costs.indexes:
        for pool in each.pools:
            languages = pool.document_languages
            name = languages[0] if len(languages) == 1 else f"pool of {len(languages)}"
            keys = ", ".join(f"{key} {value:,}" for key, value in pool.keys.items())
            speed = _figure(pool.n_queries / max(pool.search_seconds, 1e-6))
            texts = (f"{pool.n_documents:,}", f"{pool.depth:,}", speed, _figure(pool.build_seconds))
            cells = (name, *texts, _figure(pool.bytes / _MEGA), keys)
            rows.append((each.name, tuple(map(IndexCell, cells))))
    heads = ("pool", "documents", "list", "queries/s", "build s", "MB", "keys")
    return IndexTable("Every pool", "index", heads, tuple(rows))


def _largest(costs: IndexCosts) -> str:
    speed = costs.indexes[0].speed
    pools = speed.document_languages
    if len(pools) == 1:
        return f"in the pool of {', '.join(pools[0])}: {count(speed.n_documents, 'document')}"
    return f"in {len(pools)} pools together: {count(speed.n_documents, 'document')}"


def _first(costs: IndexCosts, name: str, kind: Kind | None) -> IndexCostLine | None:
    return next((line for each in costs.indexes if (line := each.line(name, kind))), None)


def _either(line: IndexCostLine) -> Change:
    return line.own if line.change.difference is None else line.change


def _cell(line: IndexCostLine | None, chosen: Callable[[IndexCostLine], Change]) -> IndexCell:
    if line is None:
        return IndexCell(ABSENT)
    change, quantity = chosen(line), _quantity(line)
    beside = line.exact if line.exact is not None else line.cut
    text = signed(quantity, change.difference, beside=beside)
    return IndexCell(text, bounds_text(quantity, change.interval, beside=beside))


def _quantity(line: IndexCostLine) -> Quantity:
    return Quantity(line.name, line.kind)


def _figure(value: float) -> str:
    """Write a positive number with three digits or so: 12,345, 123, 12.3, 1.23."""
    if value >= _SMALL:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
